//! Checks of the path of an output model file.

use std::io::{Error, ErrorKind};
use std::path::Path;

/// Extensions of other kinds of model files.
const OTHERS: [&str; 13] = [
    "h5",
    "hdf5",
    "keras",
    "pb",
    "tflite",
    "pt",
    "pth",
    "ckpt",
    "safetensors",
    "mlmodel",
    "mlpackage",
    "engine",
    "npz",
];

/// Checks, before any work is done, that an ONNX file can be written to `path` and opened by other programs under that
/// name.
///
/// # Errors
/// [`ErrorKind::InvalidFilename`] if `path` is a folder or has the extension of another kind of model file;
/// [`ErrorKind::NotFound`] if its folder does not exist; [`ErrorKind::AlreadyExists`] if the file exists and `replace`
/// is false.
pub fn check_path(path: &Path, replace: bool) -> Result<(), Error> {
    let name = path.display();
    let unfit = |reason: String| Err(Error::new(ErrorKind::InvalidFilename, reason));
    if path.is_dir() {
        return unfit(format!("{name} is a folder, expected a name for the file"));
    }
    let end = path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
    if OTHERS.contains(&end.as_str()) {
        return unfit(format!(
            "{name}: the output is an ONNX file and needs the name of one; call it {}",
            path.with_extension("onnx").display()
        ));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
    if let Some(folder) = folder.map(Path::display) {
        let reason = format!("cannot write {name}: there is no folder {folder}; create it first");
        return Err(Error::new(ErrorKind::NotFound, reason));
    }
    if path.exists() && !replace {
        let reason = format!("{name} exists already; choose another name, or add --force to replace it");
        return Err(Error::new(ErrorKind::AlreadyExists, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_mislead_and_files_that_would_be_lost_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, replace| check_path(&folder.path().join(name), replace).map_err(|e| e.kind());
        std::fs::write(folder.path().join("there.onnx"), "").unwrap();
        assert_eq!(at("there.onnx", false), Err(ErrorKind::AlreadyExists));
        assert_eq!(at("there.onnx", true), Ok(()));
        assert_eq!(at("new.onnx", false), Ok(()));
        assert_eq!(at("new.KERAS", true), Err(ErrorKind::InvalidFilename));
        assert_eq!(at("", true), Err(ErrorKind::InvalidFilename));
        assert_eq!(at("no/new.onnx", true), Err(ErrorKind::NotFound));
    }
}
