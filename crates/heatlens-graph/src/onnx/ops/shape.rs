//! Operators that change the shape.

use super::reduce::axes;
use super::shape_values::to_shape;
use super::{Recipe, plain};
use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::onnx::attributes::Attributes;
use crate::onnx::constant_folding::Size;
use crate::op::broadcast::broadcast;
use crate::op::concat::Concat;
use crate::op::expand::Expand;
use crate::op::invalid;
use crate::op::reshape::{Flatten, Reshape, Squeeze, Unsqueeze};
use crate::op::transpose::Transpose;

/// Reads `Reshape` to a known shape.
pub(super) fn reshape(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let allow_zero = attributes.opset() >= 14 && attributes.flag("allowzero")?;
    Ok(Box::new(move |scope| {
        let wanted = scope.sizes(1, "a shape")?.ok_or(OpError::MissingInput { index: 1 })?;
        let x = scope.input(0)?;
        let shape = reshaped(&scope.fact(x).shape, &wanted, allow_zero)?;
        scope.finish(Reshape { shape }, &[Some(x)])
    }))
}

/// Returns the shape that `wanted` specifies: −1 is inferred, 0 (unless `allow_zero`) is the input's size at the same
/// position.
fn reshaped(x: &Shape, wanted: &[Size], allow_zero: bool) -> Result<Shape, OpError> {
    let bad = || invalid(format!("{x} reshaped to {wanted:?}"));
    let mut dims = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (i, &size) in wanted.iter().enumerate() {
        dims.push(match size {
            Size::PerSample(k) => Dim::Batch(k),
            Size::Number(-1) if open.is_none() => {
                open = Some(i);
                Dim::Fixed(1)
            }
            Size::Number(0) if !allow_zero => x.0.get(i).copied().ok_or_else(bad)?,
            Size::Number(size) => Dim::Fixed(usize::try_from(size).map_err(|_| bad())?),
        });
    }
    let mut shape = Shape(dims);
    if let Some(slot) = open {
        let (all, known) = x.len_per_sample().zip(shape.len_per_sample()).ok_or_else(bad)?;
        if known == 0 || !all.is_multiple_of(known) {
            return Err(bad());
        }
        let batch_is_open = x.has_batch() && !shape.has_batch();
        if let Some(dim) = shape.0.get_mut(slot) {
            *dim = if batch_is_open { Dim::Batch(all / known) } else { Dim::Fixed(all / known) };
        }
    }
    Ok(shape)
}

pub(super) fn flatten(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    plain(Flatten { axis: attributes.int("axis")?.unwrap_or(1) })
}

/// Reads `Squeeze`: the axes are an attribute before operator set 13, an input since.
pub(super) fn squeeze(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let by_attribute = attributes.opset() < 13;
    let given = if by_attribute { attributes.ints("axes")?.map(<[i64]>::to_vec) } else { None };
    Ok(Box::new(move |scope| {
        let axes = axes(scope, given, by_attribute, 13)?.unwrap_or_default();
        let x = scope.input(0)?;
        scope.finish(Squeeze { axes }, &[Some(x)])
    }))
}

/// Reads `Unsqueeze`: the axes are an attribute before operator set 13, an input since.
pub(super) fn unsqueeze(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let by_attribute = attributes.opset() < 13;
    let given = if by_attribute { attributes.ints("axes")?.map(<[i64]>::to_vec) } else { None };
    Ok(Box::new(move |scope| {
        let axes =
            axes(scope, given, by_attribute, 13)?.ok_or_else(|| invalid("expected axes, found none"))?;
        let x = scope.input(0)?;
        scope.finish(Unsqueeze { axes }, &[Some(x)])
    }))
}

/// Reads `Transpose`; without `perm` the axes are reversed.
pub(super) fn transpose(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let perm = attributes.sizes("perm")?;
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        let rank = scope.fact(x).shape.rank();
        let perm = perm.unwrap_or_else(|| (0..rank).rev().collect());
        scope.finish(Transpose { perm }, &[Some(x)])
    }))
}

pub(super) fn concat(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let axis = attributes.int("axis")?.ok_or_else(|| invalid("expected an attribute \"axis\""))?;
    plain(Concat { axis })
}

/// Reads `Expand` to a known shape, which is broadcast with the input's.
pub(super) fn expand(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    Ok(Box::new(|scope| {
        let wanted = scope.sizes(1, "a shape")?.ok_or(OpError::MissingInput { index: 1 })?;
        let x = scope.input(0)?;
        let shape = broadcast(&scope.fact(x).shape, &to_shape(&wanted)?)?;
        scope.finish(Expand { shape }, &[Some(x)])
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reshaped(x: &Shape, wanted: &[i64], allow_zero: bool) -> Result<Shape, OpError> {
        let wanted: Vec<Size> = wanted.iter().map(|&d| Size::Number(d)).collect();
        super::reshaped(x, &wanted, allow_zero)
    }

    #[test]
    fn the_batch_finds_its_place() {
        let x = Shape::batched(&[4, 2, 2]);
        assert_eq!(reshaped(&x, &[0, -1], false).unwrap(), Shape::batched(&[16]));
        assert_eq!(reshaped(&x, &[-1, 16], false).unwrap(), Shape::batched(&[16]));
        assert_eq!(reshaped(&x, &[-1, 4], false).unwrap(), Shape(vec![Dim::Batch(4), Dim::Fixed(4)]));
        assert_eq!(reshaped(&x, &[2, -1, 8], false).unwrap().0[1], Dim::Batch(1));
        assert_eq!(reshaped(&Shape::fixed(&[3, 4]), &[-1], false).unwrap(), Shape::fixed(&[12]));
        assert!(reshaped(&x, &[-1, -1], false).is_err());
        assert!(reshaped(&x, &[0, -1, 3], false).is_err());
        assert!(reshaped(&x, &[0, 0, 0, 0, 0], false).is_err());
        assert!(reshaped(&x, &[-1, i64::MIN], false).is_err());
        let named = super::reshaped(&x, &[Size::PerSample(2), Size::Number(-1)], false).unwrap();
        assert_eq!(named, Shape(vec![Dim::Batch(2), Dim::Fixed(8)]));
        assert_eq!(reshaped(&Shape::fixed(&[0]), &[0, 3], true).unwrap(), Shape::fixed(&[0, 3]));
    }
}
