//! Detection of file formats by their first bytes, never by name.

use std::io::Read;
use std::path::Path;

use super::DataError;

/// Kinds of files that hold images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// An image, with its format.
    Image(image::ImageFormat),
    /// One NumPy array.
    Npy,
    /// A zip archive of NumPy arrays.
    Npz,
}

/// Detects the format of the file at `path`.
pub fn sniff(path: impl AsRef<Path>) -> Result<FileKind, DataError> {
    let path = path.as_ref();
    let mut head = [0; 160];
    let mut length = 0;
    let mut file = heatlens_graph::open_regular(path).map_err(DataError::io(path, "open"))?;
    while let Some(rest) = head.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).map_err(DataError::io(path, "read"))? {
            0 => break,
            count => length += count,
        }
    }
    let head = head.get(..length).unwrap_or_default();
    kind_of(head)
        .ok_or_else(|| DataError::UnknownFormat { path: path.to_path_buf(), looks_like: looks_like(head) })
}

fn kind_of(head: &[u8]) -> Option<FileKind> {
    use image::ImageFormat::{Bmp, Jpeg, Png, Tiff, WebP};
    let image = |format| Some(FileKind::Image(format));
    match head {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => image(Png),
        [0xff, 0xd8, 0xff, ..] => image(Jpeg),
        [b'I', b'I', 42, 0, ..]
        | [b'M', b'M', 0, 42, ..]
        | [b'I', b'I', 43, 0, ..]
        | [b'M', b'M', 0, 43, ..] => image(Tiff),
        [b'B', b'M', ..] => image(Bmp),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => image(WebP),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Some(FileKind::Npy),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(FileKind::Npz),
        _ => None,
    }
}

fn looks_like(head: &[u8]) -> String {
    let known: &[(&[u8], &str)] = &[
        (b"GIF8", "a GIF (convert it to PNG)"),
        (b"\x89HDF", "an HDF5 file (a Keras model, perhaps)"),
        (b"%PDF", "a PDF document"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x80", "a Python pickle (save the array with numpy.save)"),
        (b"version https://git-lfs", "a Git LFS pointer whose content was not downloaded"),
        (b"<svg", "an SVG drawing"),
        (b"<", "an HTML or XML text"),
        (b"\x08", "an ONNX model, perhaps"),
    ];
    if head.is_empty() {
        return "an empty file".to_owned();
    }
    if head.get(4..8) == Some(b"ftyp".as_slice()) {
        return "a HEIC, AVIF or video file (convert it to PNG or JPEG)".to_owned();
    }
    if head.get(128..132) == Some(b"DICM".as_slice()) {
        return "a DICOM file (convert it to 16-bit PNG)".to_owned();
    }
    if let Some((_, name)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return (*name).to_owned();
    }
    match std::str::from_utf8(head) {
        Ok(text) if !text.contains('\0') => "plain text".to_owned(),
        _ => {
            let bytes: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("binary data that starts with {}", bytes.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniff_bytes(bytes: &[u8]) -> Result<FileKind, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("misnamed.txt");
        std::fs::write(&path, bytes).unwrap();
        sniff(&path)
    }

    #[test]
    fn content_decides() {
        assert_eq!(sniff_bytes(b"\x93NUMPY\x01\x00").unwrap(), FileKind::Npy);
        assert_eq!(sniff_bytes(b"PK\x03\x04....").unwrap(), FileKind::Npz);
        assert_eq!(sniff_bytes(b"RIFF1234WEBPVP8 ").unwrap(), FileKind::Image(image::ImageFormat::WebP));
        assert_eq!(
            sniff_bytes(&[0xff, 0xd8, 0xff, 0xe0]).unwrap(),
            FileKind::Image(image::ImageFormat::Jpeg)
        );
    }

    #[test]
    fn strangers_are_described() {
        let message = |bytes: &[u8]| sniff_bytes(bytes).unwrap_err().to_string();
        assert!(message(b"").contains("an empty file"));
        assert!(message(b"hello").contains("plain text"));
        assert!(message(b"GIF89a").contains("GIF"));
        assert!(message(&[0, 1, 2, 255]).contains("starts with 00 01 02 ff"));
    }
}
