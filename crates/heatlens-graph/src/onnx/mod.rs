//! ONNX files: reading them into a [`Graph`], and writing any [`Graph`] as one.
//!
//! Reading ([`open_file`], [`open`]) trusts nothing: `limits` bounds what the bytes may ask for,
//! `proto` decodes them, `read` takes in what is stored and declared, `walk` goes through the nodes,
//! and the table in `ops` turns each into one of our operators. Arithmetic on sizes is done on the
//! way (`known`); functions and branches are written out (`inline`); `budget` counts what both make of
//! the file. A node that is unknown, or known but with an attribute that is not, is refused by name
//! together with all others of its kind; nothing is computed differently from what the file says
//! without a warning.
//!
//! Writing ([`write()`]) goes the other way by each operator's own spelling. Operators that ONNX does
//! not know are first rewritten in those it knows.

mod attributes;
mod budget;
mod ends;
mod error;
mod external;
mod formula;
mod inline;
mod known;
mod limits;
mod lower;
mod numbered;
mod open_size;
mod ops;
mod proto;
mod quantised;
mod read;
mod scope;
mod tensor;
#[cfg(test)]
mod tests;
mod uniform;
mod value_info;
mod walk;
mod write;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

pub use error::{NodeError, OnnxError};
pub use read::open;
pub use write::write;

use crate::graph::Graph;

/// A model file that was read.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The network.
    pub graph: Graph,
    /// What the user should know about how the file was read, one sentence each (half precision
    /// computed in single, nodes exported in training mode …). Often empty.
    pub warnings: Vec<String>,
    /// Declared outputs that cannot be read, and why; the rest of the file does not need them.
    pub lost_outputs: BTreeMap<String, String>,
    /// Height and width of the images where the file leaves them open and nobody chose: the first usual size that fits.
    pub assumed_size: Option<[usize; 2]>,
}

/// What a person chooses where a file leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Height and width of the images, where the file leaves them open.
    pub input_size: Option<[usize; 2]>,
}

/// Sizes of images that networks are made for, the most frequent first.
pub const USUAL_SIZES: [[usize; 2]; 14] = open_size::USUAL;
/// Key of [`Graph::metadata`] that names the input of a file that takes pixels as whole numbers; here it takes the same
/// numbers as `f32`.
pub const WHOLE_PIXELS: &str = "onnx.whole_pixels";
/// Key of [`Graph::metadata`] under which the class names of a `ZipMap` are kept, one a line.
pub const CLASS_LABELS: &str = ends::CLASS_LABELS;

/// Reads a model file. What its name ends in does not matter.
///
/// # Errors
/// If the file can't be read, is larger than 2 GiB, is no ONNX model, or has nodes we do not know.
pub fn open_file(path: &Path) -> Result<Opened, OnnxError> {
    open_file_with(path, OpenOptions::default())
}

/// Like [`open_file`], with sizes that the file leaves open.
///
/// # Errors
/// As there.
pub fn open_file_with(path: &Path, options: OpenOptions) -> Result<Opened, OnnxError> {
    let mut bytes = Vec::new();
    // One byte more than allowed, so that the excess shows; devices without end stop there too.
    let mut file = crate::open_regular(path).map_err(OnnxError::Io)?.take(limits::MAX_FILE + 1);
    file.read_to_end(&mut bytes).map_err(OnnxError::Io)?;
    read::open_with(bytes, &|| external::External::beside(path), options)
}

/// Reads a model from memory, the graph alone: [`open`] without its warnings.
///
/// # Errors
/// As [`open`].
pub fn read(bytes: Vec<u8>) -> Result<Graph, OnnxError> {
    open(bytes).map(|opened| opened.graph)
}

/// Reads a model file, the graph alone: [`open_file`] without its warnings.
///
/// # Errors
/// As [`open_file`].
pub fn read_file(path: &Path) -> Result<Graph, OnnxError> {
    open_file(path).map(|opened| opened.graph)
}
