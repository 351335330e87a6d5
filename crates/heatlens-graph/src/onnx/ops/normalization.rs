//! Normalisation.

use super::Recipe;
use crate::compose::normalization as formula;
use crate::error::OpError;
use crate::fact::Shape;
use crate::onnx::attributes::Attributes;
use crate::op::batch_normalization::BatchNormalization;
use crate::op::invalid;
use crate::op::layer_normalization::LayerNormalization;
use crate::op::unary::UnaryFunction;

/// Reads `BatchNormalization`. Before operator set 14, further outputs indicate training mode, since then
/// `training_mode` does; both run in inference mode, with a warning.
pub(super) fn batch_normalization(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    attributes.ignore("momentum");
    let epsilon = epsilon(attributes)?;
    if attributes.opset() < 9 && attributes.int("spatial")?.is_some_and(|s| s != 1) {
        return Err(OpError::Unsupported("statistics for each position (\"spatial\" = 0)".to_owned()));
    }
    let by_outputs = attributes.opset() < 14;
    let flagged = !by_outputs && attributes.flag("training_mode")?;
    Ok(Box::new(move |scope| {
        let further = scope.node.output.iter().skip(1).any(|name| !name.is_empty());
        if flagged || by_outputs && further {
            scope.warn(
                "it was exported in training mode; it runs in inference mode, with its stored \
                statistics",
            );
        }
        let inputs = scope.inputs()?;
        scope.finish(BatchNormalization { epsilon }, &inputs)
    }))
}

fn epsilon(attributes: &mut Attributes<'_>) -> Result<f32, OpError> {
    Ok(attributes.float("epsilon")?.unwrap_or(1e-5))
}

/// Returns the axes from `axis` to the last.
fn from_axis(shape: &Shape, axis: i64) -> Result<Vec<usize>, OpError> {
    let first = shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape}")))?;
    Ok((first..shape.rank()).collect())
}

pub(super) fn instance(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let epsilon = epsilon(attributes)?;
    Ok(Box::new(move |scope| {
        let (x, scale, bias) = (scope.input(0)?, scope.input(1)?, scope.input(2)?);
        scope.formula(|b| formula::instance(b, x, scale, bias, epsilon))
    }))
}

/// Reads `GroupNormalization`: one scale per group in operator sets 18 to 20, one per channel since 21.
pub(super) fn group(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let epsilon = epsilon(attributes)?;
    attributes.ignore("stash_type"); // precision of the statistics; single is always used
    let groups = attributes.int("num_groups")?;
    let groups = groups.and_then(|g| usize::try_from(g).ok()).filter(|&g| g > 0);
    let groups = groups.ok_or_else(|| invalid("expected an attribute \"num_groups\" above 0"))?;
    let by_group = attributes.opset() < 21;
    Ok(Box::new(move |scope| {
        let (x, scale, bias) = (scope.input(0)?, scope.input(1)?, scope.input(2)?);
        let expected = if by_group { Some(groups) } else { scope.fact(x).shape.0.get(1).map(|c| c.at(1)) };
        let found = &scope.fact(scale).shape;
        if expected.map(|n| Shape::fixed(&[n])).as_ref() != Some(found) {
            let of = if by_group { "group" } else { "channel" };
            return Err(invalid(format!("expected one scale for each {of}, found {found}")).into());
        }
        scope.formula(|b| formula::group(b, x, groups, scale, bias, epsilon))
    }))
}

/// Reads `LayerNormalization`. Its second and third outputs, mean and 1 ÷ deviation, are meant for training but may be
/// read.
pub(super) fn layer(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let epsilon = epsilon(attributes)?;
    attributes.ignore("stash_type");
    let axis = attributes.int("axis")?.unwrap_or(-1);
    Ok(Box::new(move |scope| {
        let (x, scale, bias) = (scope.input(0)?, scope.input(1)?, scope.optional(2)?);
        let further = scope.node.output.iter().skip(1).any(|name| !name.is_empty());
        if !further {
            return scope.finish(LayerNormalization { axis, epsilon }, &[Some(x), Some(scale), bias]);
        }
        let axes = from_axis(&scope.fact(x).shape, axis)?;
        scope.formulas(|b| {
            let (y, mean, deviation) = formula::standardize_with(b, x, &axes, epsilon)?;
            let y = b.mul(y, scale)?;
            let y = bias.map_or(Ok(y), |bias| b.add(y, bias))?;
            Ok(vec![y, mean, b.unary(UnaryFunction::Reciprocal, deviation)?])
        })
    }))
}

pub(super) fn rms(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let epsilon = epsilon(attributes)?;
    attributes.ignore("stash_type");
    let axis = attributes.int("axis")?.unwrap_or(-1);
    Ok(Box::new(move |scope| {
        let (x, scale) = (scope.input(0)?, scope.input(1)?);
        let axes = from_axis(&scope.fact(x).shape, axis)?;
        scope.formula(|b| formula::rms(b, x, &axes, scale, epsilon))
    }))
}

pub(super) fn lrn(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let size = attributes.int("size")?.and_then(|s| usize::try_from(s).ok());
    let options = formula::LrnOptions {
        size: size.ok_or_else(|| invalid("expected an attribute \"size\""))?,
        alpha: attributes.float("alpha")?.unwrap_or(1e-4),
        beta: attributes.float("beta")?.unwrap_or(0.75),
        bias: attributes.float("bias")?.unwrap_or(1.0),
    };
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        scope.formula(|b| formula::lrn(b, x, options))
    }))
}

pub(super) fn lp(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let axis = attributes.int("axis")?.unwrap_or(-1);
    let p = attributes.int("p")?.unwrap_or(2);
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        let shape = &scope.fact(x).shape;
        let axis = shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape}")))?;
        scope.formula(|b| formula::lp(b, x, axis, p))
    }))
}

pub(super) fn mean_variance(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let axes = attributes.ints("axes")?.map_or_else(|| vec![0, 2, 3], <[i64]>::to_vec);
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        let shape = &scope.fact(x).shape;
        let place = |&axis: &i64| shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape}")));
        let axes: Result<Vec<usize>, OpError> = axes.iter().map(place).collect();
        let axes = axes?;
        scope.formula(|b| formula::mean_variance(b, x, &axes))
    }))
}
