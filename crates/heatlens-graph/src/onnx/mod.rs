//! Reading of ONNX files into a [`Graph`], and writing of any [`Graph`] to ONNX.
//!
//! Reading ([`open_file`], [`open`]) trusts nothing: `limits` checks the bytes, `proto` decodes them, `read` collects
//! stored arrays and declarations, `importer` visits the nodes that the outputs need (`node_order`), and the table in
//! `ops` converts each to operators of this crate. Shape arithmetic is computed on the way (`constant_folding`);
//! functions and branches are inlined (`inline`); `budget` limits the growth by both. Nodes with unknown operators or
//! attributes are rejected, all in one error. Any deviation from the file's own semantics is reported as a warning.
//!
//! Writing ([`write()`]) uses each operator's written form. Operators that are not in the standard are first expressed
//! in standard ones.

mod attributes;
mod batch_index;
mod broadcast_constant;
mod budget;
mod constant_folding;
mod ends;
mod error;
mod external;
mod formula;
mod importer;
mod inline;
mod limits;
mod lower;
mod node_order;
mod open_size;
mod ops;
mod positions;
mod proto;
mod quantised;
mod read;
mod scope;
mod selection;
mod single_image;
mod tensor;
#[cfg(test)]
mod tests;
mod value_info;
mod write;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

pub use error::{NodeError, OnnxError};
pub use read::open;
pub use write::write;

use crate::graph::Graph;

/// Model read from a file.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    /// The network.
    pub graph: Graph,
    /// Notes on how the file was read, one sentence each (half precision computed in single, nodes exported in training
    /// mode …). Often empty.
    pub warnings: Vec<String>,
    /// Declared outputs that cannot be read, with the reason; the rest of the file does not need them.
    pub lost_outputs: BTreeMap<String, String>,
    /// Height and width of the images, if neither the file nor the user specifies them: the first usual size that
    /// works.
    pub assumed_size: Option<[usize; 2]>,
}

/// Settings for what a file leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnnxOptions {
    /// Height and width of the images, if the file leaves them open.
    pub input_size: Option<[usize; 2]>,
}

/// Usual image sizes of networks, most frequent first.
pub const USUAL_SIZES: [[usize; 2]; 14] = open_size::USUAL;
/// Key of [`Graph::metadata`] with the name of an input that holds integer pixels in the file; here it takes the same
/// numbers as `f32`.
pub const WHOLE_PIXELS: &str = "onnx.whole_pixels";
/// Key of [`Graph::metadata`] for the class names of a `ZipMap`, one per line.
pub const CLASS_LABELS: &str = ends::CLASS_LABELS;

/// Reads a model file, whatever its extension.
///
/// # Errors
/// If the file cannot be read, is larger than 2 GiB, is not an ONNX model, or has unsupported nodes.
pub fn open_file(path: &Path) -> Result<OnnxModel, OnnxError> {
    open_file_with(path, OnnxOptions::default())
}

/// Like [`open_file`], with settings for what the file leaves open.
///
/// # Errors
/// Same as [`open_file`].
pub fn open_file_with(path: &Path, options: OnnxOptions) -> Result<OnnxModel, OnnxError> {
    let mut bytes = Vec::new();
    // Reads one byte more than allowed to detect larger files; also stops reading endless devices.
    let mut file = crate::open_regular(path).map_err(OnnxError::Io)?.take(limits::MAX_FILE + 1);
    file.read_to_end(&mut bytes).map_err(OnnxError::Io)?;
    read::open_with(bytes, &|| external::External::beside(path), options)
}

/// Reads a model from memory; like [`open`], without warnings.
///
/// # Errors
/// Same as [`open`].
pub fn read(bytes: Vec<u8>) -> Result<Graph, OnnxError> {
    open(bytes).map(|opened| opened.graph)
}

/// Reads a model file; like [`open_file`], without warnings.
///
/// # Errors
/// Same as [`open_file`].
pub fn read_file(path: &Path) -> Result<Graph, OnnxError> {
    open_file(path).map(|opened| opened.graph)
}
