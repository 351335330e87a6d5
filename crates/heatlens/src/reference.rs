//! Reference embedding that images are compared with: that of another image, or a stored one.

use std::path::Path;

use thiserror::Error;

use crate::data::{DataError, FileKind, OpenOptions, read_npy, sniff};
use crate::explain::ExplainError;
use crate::model::{Model, ModelError};
use crate::predict::Predictor;

/// Reason why there is no reference embedding.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The file cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network cannot be run.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// The array or image does not fit the model.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Returns the embedding in an `.npy` file of the model's embedding size, or the model's embedding of the first image
/// in any other file.
///
/// # Errors
/// If the file cannot be read, or holds neither.
pub(crate) fn embedding(model: &Model, path: impl AsRef<Path>) -> Result<Vec<f32>, ReferenceError> {
    let path = path.as_ref();
    let outputs = model.head.outputs;
    if matches!(sniff(path)?, FileKind::Npy) {
        let (shape, values) = read_npy(path)?;
        if values.len() == outputs {
            return Ok(values);
        }
        if shape.len() < 3 {
            let why = format!(
                "{}: expected one embedding of {outputs} numbers, found an array of shape {shape:?}",
                path.display()
            );
            return Err(ModelError::Head { kind: model.head.kind.name(), why }.into());
        }
    }
    let mut own = model.clone();
    let data = own.open_inputs(&[path.to_owned()], &OpenOptions::default())?;
    let image = data.load(0)?;
    let predictor = Predictor::new(model)?;
    Ok(predictor.logits(&image.pixels, 1)?)
}
