//! The embedding that images are held against: another image's, or a stored one.

use std::path::Path;

use crate::data::{DataError, FileKind, OpenOptions, read_npy, sniff};
use crate::explain::ExplainError;
use crate::model::{Model, ModelError};
use crate::predict::Predictor;

/// Why there is no embedding.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The file cannot be read.
    Data(DataError),
    /// The network cannot be run.
    Explain(ExplainError),
    /// The array or image does not fit the model.
    Model(ModelError),
}

impl std::fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Data(source) => write!(f, "{source}"),
            Self::Explain(source) => write!(f, "{source}"),
            Self::Model(source) => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for ReferenceError {}

/// The embedding in an `.npy` file with as many numbers as the model gives, or the model's embedding of the first image of
/// any other file.
///
/// # Errors
/// If the file cannot be read, or holds neither.
pub fn embedding(model: &Model, path: impl AsRef<Path>) -> Result<Vec<f32>, ReferenceError> {
    let path = path.as_ref();
    let outputs = model.head.outputs;
    if matches!(sniff(path).map_err(ReferenceError::Data)?, FileKind::Npy) {
        let (shape, values) = read_npy(path).map_err(ReferenceError::Data)?;
        if values.len() == outputs {
            return Ok(values);
        }
        if shape.len() < 3 {
            let why = format!(
                "{}: expected one embedding of {outputs} numbers, found an array of shape {shape:?}",
                path.display()
            );
            return Err(ReferenceError::Model(ModelError::Head { kind: model.head.kind.name(), why }));
        }
    }
    let mut own = model.clone();
    let data = own.open_inputs(&[path.to_owned()], &OpenOptions::default()).map_err(ReferenceError::Data)?;
    let image = data.load(0).map_err(ReferenceError::Data)?;
    let predictor = Predictor::new(model).map_err(ReferenceError::Explain)?;
    predictor.logits(&image.pixels, 1).map_err(ReferenceError::Explain)
}
