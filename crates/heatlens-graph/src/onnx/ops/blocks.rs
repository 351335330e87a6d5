//! Operators that rearrange or repeat blocks of elements.

use super::Recipe;
use super::shape_values::to_shape;
use crate::compose::blocks::{self as formula, Order};
use crate::error::OpError;
use crate::onnx::attributes::Attributes;
use crate::op::invalid;

fn block(attributes: &mut Attributes<'_>) -> Result<usize, OpError> {
    let size = attributes.int("blocksize")?.and_then(|b| usize::try_from(b).ok()).filter(|&b| b > 0);
    size.ok_or_else(|| invalid("expected an attribute \"blocksize\" above 0"))
}

fn order(attributes: &mut Attributes<'_>) -> Result<Order, OpError> {
    match attributes.text("mode")? {
        None | Some("DCR") => Ok(Order::Dcr),
        Some("CRD") => Ok(Order::Crd),
        Some(other) => Err(OpError::Unsupported(format!("mode {other:?}"))),
    }
}

/// Reads `DepthToSpace`; the order of channels can be chosen since operator set 11.
pub(super) fn depth_to_space(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let block = block(attributes)?;
    let order = if attributes.opset() >= 11 { order(attributes)? } else { Order::Dcr };
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        scope.formula(|b| formula::depth_to_space(b, x, block, order))
    }))
}

/// Reads `SpaceToDepth`; the order of channels can be chosen since operator set 28.
pub(super) fn space_to_depth(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let block = block(attributes)?;
    let order = if attributes.opset() >= 28 { order(attributes)? } else { Order::Dcr };
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        scope.formula(|b| formula::space_to_depth(b, x, block, order))
    }))
}

/// Reads `Tile`; the number of repeats may be the batch size.
pub(super) fn tile(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    Ok(Box::new(|scope| {
        let repeats = scope.sizes(1, "repeats")?.ok_or(OpError::MissingInput { index: 1 })?;
        let repeats = to_shape(&repeats)?;
        let x = scope.input(0)?;
        scope.formula(|b| formula::tile(b, x, &repeats.0))
    }))
}
