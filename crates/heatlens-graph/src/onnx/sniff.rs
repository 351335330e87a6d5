//! What a file that is no ONNX model looks like, so that the error can say what to do.

/// What the bytes look like, and what to do about it; `None` if we cannot tell.
///
/// Asked only after reading failed: a model is never refused for how it begins.
pub(super) fn looks_like(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if bytes.is_empty() {
        return Some(("an empty file", "export or fetch the model again"));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Some(archive(bytes));
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return Some(("a TensorFlow Lite model", "convert it with `python -m tf2onnx.convert --tflite`"));
    }
    if bytes.get(8..10) == Some(b"{\"") {
        return Some((
            "a safetensors file",
            "it holds weights without a network; export the model itself to ONNX",
        ));
    }
    let known = MAGIC.iter().find(|(magic, ..)| bytes.starts_with(magic));
    known.map(|&(_, kind, advice)| (kind, advice)).or_else(|| text(bytes))
}

const KERAS: &str = "convert it to ONNX with `model.export(\"model.onnx\", format=\"onnx\")` in Keras";
const TORCH: &str = "load it in PyTorch and export it with `torch.onnx.export`";
const IMAGE: &str = "give the model first and the images after it";
const ARRAY: &str = "give the model first and the arrays after it";

/// First bytes, what they mean, what to do.
const MAGIC: [(&[u8], &str, &str); 14] = [
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (perhaps a Keras .h5 model)", KERAS),
    (b"\x89PNG", "a PNG image", IMAGE),
    (b"\xff\xd8\xff", "a JPEG image", IMAGE),
    (b"GIF8", "a GIF image", IMAGE),
    (b"II*\0", "a TIFF image", IMAGE),
    (b"MM\0*", "a TIFF image", IMAGE),
    (b"BM", "a BMP image", IMAGE),
    (b"RIFF", "a RIFF file (perhaps a WebP image)", IMAGE),
    (b"\x93NUMPY", "a NumPy array", ARRAY),
    (b"\x80\x02", "a Python pickle (perhaps an old PyTorch file)", TORCH),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run `git lfs pull`"),
    (b"<", "a web page or XML document", "the download may have gone wrong; fetch the file itself"),
    (b"{", "a JSON document", "export the model itself to ONNX"),
];

/// A zip archive, by the names of the files in it.
fn archive(bytes: &[u8]) -> (&'static str, &'static str) {
    // Names stand in the clear in front of each file and again in the directory at the end.
    const WINDOW: usize = 1 << 16;
    let head = bytes.get(..WINDOW).unwrap_or(bytes);
    let tail = bytes.get(bytes.len().saturating_sub(WINDOW)..).unwrap_or(bytes);
    let has = |name: &[u8]| [head, tail].iter().any(|part| part.windows(name.len()).any(|w| w == name));
    if has(b"model.weights.h5") {
        ("a Keras model (.keras)", KERAS)
    } else if has(b"/data.pkl") {
        ("a PyTorch file", TORCH)
    } else if has(b".npy") {
        ("a NumPy archive (.npz)", ARRAY)
    } else {
        ("a zip archive", "unpack it first")
    }
}

/// A text file, judged by its beginning.
fn text(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let head = bytes.get(..256).unwrap_or(bytes);
    let printable = head.iter().all(|&b| b >= 0x20 && b != 0x7f || matches!(b, b'\t' | b'\n' | b'\r'));
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none(),
    };
    (printable && valid).then_some(("a text file", "export the model itself to ONNX"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let zip = |name: &str| [b"PK\x03\x04".as_slice(), &[0; 26], name.as_bytes(), &[0; 99]].concat();
        for (bytes, kind) in [
            (Vec::new(), "an empty file"),
            (zip("model.weights.h5"), "a Keras model (.keras)"),
            (zip("archive/data.pkl"), "a PyTorch file"),
            (zip("X.npy"), "a NumPy archive (.npz)"),
            (zip("a.txt"), "a zip archive"),
            (b"\x1c\0\0\0TFL3".to_vec(), "a TensorFlow Lite model"),
            (b"\x20\0\0\0\0\0\0\0{\"__metadata__\"".to_vec(), "a safetensors file"),
            (b"\x89PNG\r\n\x1a\n".to_vec(), "a PNG image"),
            ("Größe und mehr".as_bytes().to_vec(), "a text file"),
        ] {
            assert_eq!(looks_like(&bytes).unwrap().0, kind);
        }
        assert_eq!(looks_like(&[8, 7, 0x12, 3]), None);
    }
}
