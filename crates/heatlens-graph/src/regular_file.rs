//! Opening of regular files only, never pipes or devices.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Opens a file for reading. Pipes and devices are rejected before they are opened: reading a pipe would block until
/// another process writes to it, and a device may never end.
///
/// # Errors
/// If the file does not exist, cannot be opened, or is a pipe, a device or a socket.
pub fn open_regular(path: impl AsRef<Path>) -> io::Result<File> {
    let kind = fs::metadata(&path)?.file_type();
    if kind.is_file() || kind.is_dir() {
        return File::open(path);
    }
    let reason = "a pipe, device or socket, expected a regular file: save its content to a file first";
    Err(io::Error::new(ErrorKind::InvalidInput, reason))
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// Same as [`open_regular`], and if the file is larger.
pub fn read_regular(path: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let reason = format!("more than {most} bytes, which is far too much for what it should hold");
        return Err(io::Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn devices_are_not_opened() {
        for path in ["/dev/zero", "/dev/null"] {
            let refused = open_regular(path).unwrap_err().to_string();
            assert!(refused.contains("expected a regular file"), "{refused}");
        }
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert!(read_regular(own, 1 << 20).is_ok());
        assert_eq!(read_regular(own, 5).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(open_regular("/no/such/file").unwrap_err().kind(), ErrorKind::NotFound);
    }
}
