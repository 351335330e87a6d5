//! Formats of model files, detected by content, not by file name.
//!
//! To add a format, write a file with its [`Format`] and add it to [`FORMATS`].

mod keras;
mod onnx;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use heatlens_graph::{Graph, sniff};

type Cause = Box<dyn Error + Send + Sync>;

/// An opened model file: its graph and notes for the user.
pub(super) struct Opened {
    pub(super) graph: Graph,
    pub(super) notes: Vec<String>,
    /// Outputs that cannot be read, each with the reason.
    pub(super) lost_outputs: BTreeMap<String, String>,
    /// Assumed height and width of the images, if the file leaves them open and none are given.
    pub(super) assumed_size: Option<[usize; 2]>,
}

/// Height and width of the images, for files that leave them open.
pub(super) type InputSize = Option<[usize; 2]>;

/// A model file format.
struct Format {
    /// Returns true if a file has this format, given its first and last bytes.
    recognises: fn(&[u8]) -> bool,
    open: fn(&Path, InputSize) -> Result<Opened, Cause>,
}

/// All formats, in the order in which they are tried. ONNX has no magic number and comes last.
const FORMATS: [Format; 2] = [keras::FORMAT, onnx::FORMAT];

/// Opens a model file of any format.
pub(super) fn open(path: &Path, size: InputSize) -> Result<Opened, Cause> {
    if path.is_dir() {
        return Err(Box::new(folder(path)?));
    }
    let ends = both_ends(&mut heatlens_graph::open_regular(path)?)?;
    let format = FORMATS.iter().find(|format| (format.recognises)(&ends));
    let format = format.ok_or("a file of unknown format")?;
    (format.open)(path, size).map_err(|error| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match (sniff::looks_like(&ends), sniff::looks_like_by_name(&name)) {
            // The content is unknown, but the name is informative.
            (None, Some((looks_like, advice))) => Box::new(NoModel { looks_like, advice }),
            _ => error,
        }
    })
}

/// Identifies a folder.
fn folder(path: &Path) -> Result<NoModel, io::Error> {
    const MOST: usize = 1000;
    let names: Result<Vec<String>, io::Error> = std::fs::read_dir(path)?
        .take(MOST)
        .map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()))
        .collect();
    let names = names?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (looks_like, advice) =
        sniff::folder(&names).unwrap_or(("a folder", "give a model file: .onnx, .keras or .h5"));
    Ok(NoModel { looks_like, advice })
}

/// Reads the first and the last 64 KiB of a file.
fn both_ends(file: &mut File) -> Result<Vec<u8>, io::Error> {
    const WINDOW: u64 = 1 << 16;
    let mut bytes = Vec::new();
    file.by_ref().take(WINDOW).read_to_end(&mut bytes)?;
    // Files that are not seekable are read from the beginning only.
    if let Ok(length) = file.seek(SeekFrom::End(0)) {
        file.seek(SeekFrom::Start(length.saturating_sub(WINDOW).max(bytes.len() as u64)))?;
        file.take(WINDOW).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Error for a file or folder that is not a model.
#[derive(Debug)]
struct NoModel {
    looks_like: &'static str,
    advice: &'static str,
}

impl fmt::Display for NoModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a model file, found {}: {}", self.looks_like, self.advice)
    }
}

impl Error for NoModel {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        open(&path, None).err().unwrap().to_string()
    }

    #[test]
    fn what_is_no_model_is_named_with_the_way_out() {
        let torch = [b"PK\x03\x04".as_slice(), &[0; 26], b"archive/data.pkl", &[0; 99]].concat();
        assert!(refusal("a.pt", &torch).contains("torch.onnx.export"), "{}", refusal("a.pt", &torch));
        assert!(refusal("a.bin", b"\x80\x02").contains("torch.onnx.export"));
        assert!(refusal("a.onnx.data", &[7; 300]).contains("the weights of an ONNX model"));
        assert!(refusal("a.onnx", &[7; 300]).contains("damaged ONNX file"));
        assert!(refusal("a.keras", b"PK\x03\x04model.weights.h5").contains("damaged Keras file"));
        assert!(refusal("a.h5", b"\x89HDF\r\n\x1a\nrubbish").contains("damaged Keras file"));
    }

    #[test]
    fn a_saved_model_is_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("saved_model.pb"), b"x").unwrap();
        let error = open(folder.path(), None).err().unwrap().to_string();
        assert!(error.contains("TensorFlow SavedModel") && error.contains("--saved-model"), "{error}");
    }
}
