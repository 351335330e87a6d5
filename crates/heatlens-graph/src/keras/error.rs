//! Errors of reading Keras files.

use std::fmt;
use std::io;

use thiserror::Error;

use crate::error::OpError;

/// Error of reading a Keras file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KerasError {
    /// The file could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file, or its content when expanded, exceeds a limit.
    #[error(
        "{what} takes {found} bytes or more, expected at most {limit}; if the file is what its author saved, export the \
         model to ONNX: call it once, `model(np.zeros((1, 224, 224, 3), \"float32\"))` with its own size, then \
         `model.export(\"model.onnx\", format=\"onnx\")`"
    )]
    TooLarge {
        /// Description of the part that is too large.
        what: String,
        /// Size in bytes, or a lower bound if counting stopped at the limit.
        found: u64,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// The file is of another kind.
    #[error("expected a Keras model, found {looks_like}: {advice}")]
    NotKeras {
        /// Kind of the file.
        looks_like: &'static str,
        /// Advice for the user.
        advice: &'static str,
    },
    /// The zip archive or the HDF5 file is damaged.
    #[error("damaged Keras file: {0}; fetch or save the file again")]
    Damaged(String),
    /// The file can be read, but the model it describes is inconsistent.
    #[error("inconsistent Keras file: {0}")]
    Malformed(String),
    /// The model accepts images of any size; a graph needs a fixed one.
    #[error(
        "input {input:?} leaves its size open ({shape}); give the model one in Python and save it again: \
         `model = keras.Sequential([keras.Input((224, 224, 3)), model])`"
    )]
    OpenSize {
        /// Name of the input layer.
        input: String,
        /// Shape as written in the file.
        shape: String,
    },
    /// Some layers cannot be read.
    #[error("{}", List(.layers, .export))]
    Layers {
        /// All of these layers, in the order of the file.
        layers: Vec<LayerError>,
        /// Python lines that export the model.
        export: String,
    },
}

/// Error of a layer that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerError {
    /// Name of the layer, prefixed with those of the models that contain it.
    pub layer: String,
    /// Class of the layer.
    pub class: String,
    /// Cause.
    pub source: OpError,
}

/// Displays one line per kind of error, with the names of the layers.
struct List<'a>(&'a [LayerError], &'a str);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0, self.1)
    }
}

fn list(f: &mut fmt::Formatter<'_>, layers: &[LayerError], export: &str) -> fmt::Result {
    const NAMES: usize = 5;
    const KINDS: usize = 40;
    let plural = if layers.len() == 1 { "layer" } else { "layers" };
    write!(f, "{} {plural} cannot be read", layers.len())?;
    let mut kinds: Vec<(String, Vec<&str>)> = Vec::new();
    let mut others = 0;
    for layer in layers {
        let kind = format!("{}: {}", layer.class, layer.source);
        let full = kinds.len() == KINDS;
        match kinds.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, names)) => names.push(&layer.layer),
            None if full => others += 1,
            None => kinds.push((kind, vec![&layer.layer])),
        }
    }
    for (kind, names) in kinds {
        let shown: Vec<String> = names.iter().take(NAMES).map(|n| format!("{n:?}")).collect();
        write!(f, "\n  {kind}; {}", shown.join(", "))?;
        if names.len() > NAMES {
            write!(f, " and {} more", names.len() - NAMES)?;
        }
    }
    if others > 0 {
        write!(f, "\n  and {others} more")?;
    }
    write!(f, "\n  replace them by layers of Keras itself, or export the model to ONNX:\n    {export}")
}
