//! Reshaping: `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`.
//!
//! The four differ only in how the new shape is specified; they share value and derivative.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{Dim, Fact, Shape};
use crate::op::export::joined;
use crate::op::{Attribute, Kind, OnnxForm, Operator, first_shape, invalid, require};
use crate::tensor::Tensor;

/// Input: x. Output: its elements with shape `shape`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// Target shape.
    pub shape: Shape,
}

/// Input: x. Output: a matrix whose rows merge the axes before `axis` and whose columns merge the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten {
    /// First axis of the columns; negative values count from the back.
    pub axis: i64,
}

/// Input: x. Output: x without `axes`, which have size 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Squeeze {
    /// Axes; negative values count from the back; an empty list means all axes of size 1.
    pub axes: Vec<i64>,
}

/// Input: x. Output: x with new axes of size 1 at the given positions of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsqueeze {
    /// New axes; negative values count from the back of the output.
    pub axes: Vec<i64>,
}

/// An operator that only changes the shape of its input.
trait Renaming: std::any::Any + std::fmt::Debug + Send + Sync {
    fn onnx_form(&self) -> OnnxForm;

    /// Returns the new shape of a value of `shape`.
    fn new_shape(&self, shape: &Shape) -> Result<Shape, OpError>;
}

impl<T: Renaming> Operator for T {
    fn kind(&self) -> Kind<'_> {
        Kind::Reshape
    }

    fn onnx_form(&self) -> OnnxForm {
        self.onnx_form()
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        Ok(vec![Fact { dtype: x.dtype, shape: self.new_shape(&x.shape)? }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        let y = x.reshaped(shape.to_vec());
        Ok(vec![y.ok_or_else(|| invalid(format!("{:?} elements do not fill {shape:?}", x.shape())))?])
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        let shape = builder.shape(back.input(0)?);
        Ok(vec![Some(builder.reshape(grad, shape)?)])
    }
}

/// True if two shapes have the same number of elements for every batch size and keep samples separate.
fn same_elements(a: &Shape, b: &Shape) -> bool {
    a.len_per_sample().is_some() && a.len_per_sample() == b.len_per_sample() && same_samples(a, b)
}

/// True if each sample keeps its own elements: reshaping N×3 to 3×N would mix samples.
///
/// In row-major order, a sample's elements stay together if the same number of positions precedes the position that
/// counts samples. In an axis of size kN, some of the k positions precede it (h×N merged to hN) and the others follow
/// it (N×h merged to hN); a shape does not tell which, so both are accepted.
fn same_samples(a: &Shape, b: &Shape) -> bool {
    let (left, right) = match (sample_positions(a), sample_positions(b)) {
        (Positions::None, Positions::None) => return true,
        (Positions::One { before, merged }, Positions::One { before: other, merged: others }) => {
            ((before, merged), (other, others))
        }
        // In N×N, the batch axes can be neither merged nor split; only the axes between them may change.
        (Positions::Several, Positions::Several) => return between_samples(a) == between_samples(b),
        _ => return false,
    };
    if a.0.contains(&Dim::Fixed(0)) {
        return true;
    }
    // before · d = other · e for a divisor d of `merged` and e of `others`: the smallest such product
    // is the least common multiple, and all others are multiples of it.
    let ((before, merged), (other, others)) = (left, right);
    let common = gcd(before, other);
    let (d, e) = (other / common, before / common);
    merged.is_multiple_of(d) && others.is_multiple_of(e)
}

/// Axes of a shape that count samples.
enum Positions {
    /// No axis.
    None,
    /// One axis of size `merged`·N, preceded by `before` positions.
    One { before: usize, merged: usize },
    /// Several axes.
    Several,
}

fn sample_positions(shape: &Shape) -> Positions {
    let mut axes = shape.0.iter().enumerate().filter(|(_, d)| d.is_batch());
    match (axes.next(), axes.next()) {
        (None, _) => Positions::None,
        (Some((axis, dim)), None) => {
            // A product of some sizes cannot overflow if that of all sizes does not, unless a size is 0.
            let before = shape.0[..axis].iter().fold(1usize, |n, d| n.saturating_mul(d.at(1)));
            Positions::One { before, merged: dim.at(1) }
        }
        _ => Positions::Several,
    }
}

/// Returns every axis that counts samples, with the number of positions between it and the previous one.
fn between_samples(shape: &Shape) -> Vec<(usize, Dim)> {
    let mut found = Vec::new();
    let mut positions = 1usize;
    for &dim in &shape.0 {
        if dim.is_batch() {
            found.push((positions, dim));
            positions = 1;
        } else {
            positions = positions.saturating_mul(dim.at(1));
        }
    }
    found
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

impl Renaming for Reshape {
    fn onnx_form(&self) -> OnnxForm {
        // ONNX infers one size; we let it infer the batch size.
        let size = |d: &Dim| match d {
            Dim::Batch(_) => -1,
            Dim::Fixed(d) => i64::try_from(*d).unwrap_or(i64::MAX),
        };
        let sizes: Vec<i64> = self.shape.0.iter().map(size).collect();
        OnnxForm::new("Reshape").with_constant(Tensor::i64(&sizes))
    }

    fn new_shape(&self, shape: &Shape) -> Result<Shape, OpError> {
        if !same_elements(shape, &self.shape) {
            let same_count = shape.len_per_sample() == self.shape.len_per_sample();
            let why = if same_count && shape.has_batch() { " sample by sample" } else { "" };
            return Err(invalid(format!("{} does not hold the elements of {}{why}", self.shape, shape)));
        }
        Ok(self.shape.clone())
    }
}

impl Renaming for Flatten {
    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("Flatten").with("axis", Attribute::Int(self.axis))
    }

    fn new_shape(&self, shape: &Shape) -> Result<Shape, OpError> {
        let rank = i64::try_from(shape.rank()).unwrap_or(i64::MAX);
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis };
        let axis = usize::try_from(axis).ok().filter(|&a| a <= shape.rank());
        let axis = axis.ok_or_else(|| invalid(format!("axis {} of {}", self.axis, shape)))?;
        let (front, back) = shape.0.split_at(axis);
        let dims = joined(front).zip(joined(back));
        let (front, back) = dims.ok_or_else(|| invalid(format!("{shape} is too large to flatten")))?;
        Ok(Shape(vec![front, back]))
    }
}

impl Renaming for Squeeze {
    fn onnx_form(&self) -> OnnxForm {
        let onnx_form = OnnxForm::new("Squeeze");
        if self.axes.is_empty() { onnx_form } else { onnx_form.with_constant(Tensor::i64(&self.axes)) }
    }

    fn new_shape(&self, shape: &Shape) -> Result<Shape, OpError> {
        let mut gone: Vec<bool> = shape.0.iter().map(|d| self.axes.is_empty() && d.is_one()).collect();
        for &axis in &self.axes {
            let axis = shape.axis(axis).filter(|&a| shape.0[a].is_one());
            gone[axis
                .ok_or_else(|| invalid(format!("axes {:?} of {} are not all 1", self.axes, shape)))?] = true;
        }
        let kept = shape.0.iter().zip(gone).filter_map(|(&d, gone)| (!gone).then_some(d)).collect();
        Ok(Shape(kept))
    }
}

impl Renaming for Unsqueeze {
    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("Unsqueeze").with_constant(Tensor::i64(&self.axes))
    }

    fn new_shape(&self, shape: &Shape) -> Result<Shape, OpError> {
        let rank = shape.rank() + self.axes.len();
        let template = Shape(vec![Dim::Fixed(0); rank]);
        let mut dims: Vec<Option<Dim>> = vec![None; rank];
        for &axis in &self.axes {
            let slot = template.axis(axis).and_then(|a| dims.get_mut(a)).filter(|d| d.is_none());
            *slot.ok_or_else(|| invalid(format!("axes {:?} for {}", self.axes, shape)))? =
                Some(Dim::Fixed(1));
        }
        let mut old = shape.0.iter().copied();
        let dims = dims.into_iter().map(|d| d.or_else(|| old.next()).unwrap_or(Dim::Fixed(1))).collect();
        Ok(Shape(dims))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(from: &[Dim], to: &[Dim]) -> bool {
        Reshape { shape: Shape(to.to_vec()) }.new_shape(&Shape(from.to_vec())).is_ok()
    }

    #[test]
    fn samples_stay_apart() {
        use Dim::{Batch as B, Fixed as F};
        for (from, to) in [
            (vec![B(1), F(12)], vec![B(1), F(3), F(4)]),
            (vec![B(1), F(3), F(4)], vec![B(3), F(4)]),
            (vec![B(3), F(4)], vec![B(1), F(12)]),
            (vec![B(6), F(4)], vec![B(2), F(3), F(4)]),
            (vec![B(1), F(8), F(8), F(5)], vec![B(1), F(2), F(4), F(2), F(4), F(5)]),
            (vec![B(64), F(49), F(96)], vec![B(1), F(64), F(49), F(96)]),
            (vec![F(7), B(1), F(12)], vec![F(7), B(3), F(4)]),
            (vec![F(7), B(3), F(4)], vec![F(7), B(1), F(12)]),
            (vec![F(3), B(1), F(4)], vec![B(3), F(4)]),
            (vec![B(3), F(4)], vec![F(3), B(1), F(4)]),
            (vec![F(2), F(6), B(1)], vec![F(3), F(4), B(1)]),
            (vec![F(2), F(3), B(1), F(4)], vec![F(6), B(4)]),
            (vec![F(12)], vec![F(3), F(4)]),
            (vec![B(1), B(1), F(4)], vec![F(1), B(1), F(1), B(1), F(2), F(2)]),
        ] {
            assert!(accepts(&from, &to), "{from:?} → {to:?}");
        }
        for (from, to) in [
            (vec![B(1), F(3)], vec![F(3), B(1)]),
            (vec![B(1), F(3), F(4)], vec![F(3), B(1), F(4)]),
            (vec![F(2), B(1), F(3)], vec![F(3), B(2)]),
            (vec![F(4), B(1), F(3)], vec![F(6), B(2)]),
            (vec![B(1), F(3)], vec![F(3)]),
            (vec![F(3)], vec![B(1), F(3)]),
            (vec![B(1), F(3)], vec![B(1), F(4)]),
            (vec![B(1), B(1)], vec![B(1)]),
            (vec![B(1), F(4), B(1)], vec![B(1), B(1), F(4)]),
        ] {
            assert!(!accepts(&from, &to), "{from:?} → {to:?}");
        }
    }
}
