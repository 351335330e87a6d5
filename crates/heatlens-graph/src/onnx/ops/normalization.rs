//! Normalisation.

use super::Recipe;
use crate::error::OpError;
use crate::onnx::attributes::Attributes;
use crate::op::batch_normalization::BatchNormalization;

/// `BatchNormalization`. Before operator set 14 further outputs said that the node was training,
/// from then on `training_mode` does; both run as after training, with a warning.
pub(super) fn batch_normalization(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    attributes.ignore("momentum");
    let epsilon = attributes.float("epsilon")?.unwrap_or(1e-5);
    if attributes.opset() < 9 && attributes.int("spatial")?.is_some_and(|s| s != 1) {
        return Err(OpError::Unsupported("statistics for each position (\"spatial\" = 0)".to_owned()));
    }
    let by_outputs = attributes.opset() < 14;
    let flagged = !by_outputs && attributes.flag("training_mode")?;
    Ok(Box::new(move |scope| {
        let further = scope.node.output.iter().skip(1).any(|name| !name.is_empty());
        if flagged || by_outputs && further {
            scope.warn("it was exported in training mode; it runs with its stored statistics");
        }
        let inputs = scope.inputs()?;
        scope.finish(BatchNormalization { epsilon }, &inputs)
    }))
}
