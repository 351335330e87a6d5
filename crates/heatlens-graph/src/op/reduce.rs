//! Reductions over axes.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Dim, Fact, Shape};
use crate::graph::ValueId;
use crate::op::binary::BinaryFunction;
use crate::op::broadcast::{dense_strides, for_each_offset};
use crate::op::r#where::Where;
use crate::op::{Attribute, Kind, OnnxForm, Operator, at, float_result, invalid, require};
use crate::tensor::{Data, Tensor};

/// Function of a reduction, named as in ONNX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReduceFunction {
    /// Σ x.
    Sum,
    /// Arithmetic mean.
    Mean,
    /// Maximum; tied elements share the gradient equally.
    Max,
    /// Minimum; tied elements share the gradient equally.
    Min,
    /// Π x.
    Prod,
}

/// Combines an accumulated integer with the next element; `None` on overflow.
type Step = fn(i64, i64) -> Option<i64>;

/// Reduces x over `axes`. Input: x.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// Function of the reduction.
    pub function: ReduceFunction,
    /// Axes; negative values count from the back; an empty list means all axes.
    pub axes: Vec<i64>,
    /// True if reduced axes remain as axes of size 1.
    pub keep_dims: bool,
}

/// Converts axes to the integers used in attributes.
#[must_use]
pub fn to_axes(axes: &[usize]) -> Vec<i64> {
    super::attribute::to_ints(axes)
}

impl Reduce {
    /// Returns for each axis of a value of `shape` whether it is reduced.
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn reduced(&self, shape: &Shape) -> Result<Vec<bool>, OpError> {
        let mut reduced = vec![self.axes.is_empty(); shape.rank()];
        for &axis in &self.axes {
            let axis = shape
                .axis(axis)
                .ok_or_else(|| invalid(format!("axis {axis} of a value of shape {shape}")))?;
            reduced[axis] = true;
        }
        Ok(reduced)
    }

    fn kept_shape(&self, shape: &Shape) -> Result<Shape, OpError> {
        let reduced = self.reduced(shape)?;
        Ok(Shape(shape.0.iter().zip(reduced).map(|(&d, r)| if r { Dim::Fixed(1) } else { d }).collect()))
    }

    /// Reduces integers to `len` results; `strides` maps the index of an element to the position of its result.
    fn whole_values(
        &self,
        elements: &[i64],
        shape: &[usize],
        strides: &[usize],
        len: usize,
    ) -> Result<Vec<i64>, OpError> {
        let (start, step): (i64, Step) = match self.function {
            ReduceFunction::Sum | ReduceFunction::Mean => (0, i64::checked_add),
            ReduceFunction::Prod => (1, i64::checked_mul),
            ReduceFunction::Max => (i64::MIN, |a, b| Some(a.max(b))),
            ReduceFunction::Min => (i64::MAX, |a, b| Some(a.min(b))),
        };
        let mut values = vec![Some(start); len];
        let mut elements = elements.iter();
        for_each_offset(shape, [strides], |[at]| {
            let slot = &mut values[at];
            *slot = slot.zip(elements.next()).and_then(|(old, &new)| step(old, new));
        });
        let values: Option<Vec<i64>> = values.into_iter().collect();
        values.ok_or_else(|| invalid("whole-number overflow"))
    }
}

impl Operator for Reduce {
    fn kind(&self) -> Kind<'_> {
        Kind::Reduce(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        let name = match self.function {
            ReduceFunction::Sum => "ReduceSum",
            ReduceFunction::Mean => "ReduceMean",
            ReduceFunction::Max => "ReduceMax",
            ReduceFunction::Min => "ReduceMin",
            ReduceFunction::Prod => "ReduceProd",
        };
        let onnx_form = OnnxForm::new(name).with("keepdims", Attribute::Int(i64::from(self.keep_dims)));
        if self.axes.is_empty() { onnx_form } else { onnx_form.with_constant(Tensor::i64(&self.axes)) }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        let whole = x.dtype == DType::I64 && self.function != ReduceFunction::Mean;
        if x.dtype != DType::F32 && !whole {
            return Err(invalid(format!("expected floating-point input, found {:?}", x.dtype)));
        }
        let reduced = self.reduced(&x.shape)?;
        let mut dims = self.kept_shape(&x.shape)?.0;
        if !self.keep_dims {
            let mut flags = reduced.iter();
            dims.retain(|_| !flags.next().copied().unwrap_or(false));
        }
        Ok(vec![Fact { dtype: x.dtype, shape: Shape(dims) }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let x = require(inputs, 0)?;
        let reduced = self.reduced(&Shape::fixed(x.shape()))?;
        let kept: Vec<usize> = x.shape().iter().zip(&reduced).map(|(&d, &r)| if r { 1 } else { d }).collect();
        let strides: Vec<usize> =
            dense_strides(&kept).into_iter().zip(&reduced).map(|(s, &r)| if r { 0 } else { s }).collect();
        let len: usize = kept.iter().product();
        if let Some(elements) = x.as_i64() {
            let values = self.whole_values(elements, x.shape(), &strides, len)?;
            let y = Tensor::new(super::first_shape(shapes)?.to_vec(), Data::I64(values.into()));
            return Ok(vec![y.ok_or_else(|| invalid("the result does not fill its shape"))?]);
        }
        let start = match self.function {
            ReduceFunction::Sum | ReduceFunction::Mean => 0.0,
            ReduceFunction::Max => f64::NEG_INFINITY,
            ReduceFunction::Min => f64::INFINITY,
            ReduceFunction::Prod => 1.0,
        };
        let mut values = vec![start; len];
        let mut elements = x.to_f64().into_iter();
        for_each_offset(x.shape(), [&strides], |[at]| {
            let (slot, v) = (&mut values[at], elements.next().unwrap_or(f64::NAN));
            *slot = match self.function {
                ReduceFunction::Sum | ReduceFunction::Mean => *slot + v,
                ReduceFunction::Max => BinaryFunction::Max.value(*slot, v),
                ReduceFunction::Min => BinaryFunction::Min.value(*slot, v),
                ReduceFunction::Prod => *slot * v,
            };
        });
        if self.function == ReduceFunction::Mean {
            #[allow(clippy::cast_precision_loss)] // element counts are far below 2^53
            let count = (x.len() / len.max(1)) as f64;
            values.iter_mut().for_each(|v| *v /= count);
        }
        float_result(super::first_shape(shapes)?, values)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        let x = back.input(0)?;
        let shape = builder.shape(x);
        let kept = self.kept_shape(&shape).map_err(|e| at(back.node, e))?;
        let grad = builder.reshape(grad, kept.clone())?;
        if matches!(self.function, ReduceFunction::Max | ReduceFunction::Min) {
            let y = builder.reshape(back.node.outputs[0], kept)?;
            return Ok(vec![Some(share_among_ties(builder, grad, x, y, &self.axes)?)]);
        }
        if self.function == ReduceFunction::Prod {
            return Ok(vec![Some(without_one_factor(builder, grad, x, &self.axes)?)]);
        }
        if self.function == ReduceFunction::Sum {
            return Ok(vec![Some(builder.expand(grad, shape)?)]);
        }
        let ratio = |whole: &Shape, part: &Shape| -> Option<f32> {
            let batch_goes = whole.has_batch() && !part.has_batch();
            #[allow(clippy::cast_precision_loss)]
            (!batch_goes).then_some(whole.len_per_sample()? as f32 / part.len_per_sample()? as f32)
        };
        let count = ratio(&shape, &kept).ok_or_else(|| {
            at(back.node, OpError::Unsupported("the derivative of a mean over the batch".to_owned()))
        })?;
        let share = builder.scale(grad, 1.0 / count)?;
        Ok(vec![Some(builder.expand(share, shape)?)])
    }
}

/// Appends the gradient of the maximum or minimum `y` of `x`.
fn share_among_ties(
    b: &mut Builder<'_>,
    grad: ValueId,
    x: ValueId,
    y: ValueId,
    axes: &[i64],
) -> Result<ValueId, GraphError> {
    let mask = b.binary(BinaryFunction::Equal, x, y)?;
    let one = b.scalar(1.0);
    let ones = b.keep_where(mask, one)?;
    let count =
        b.apply(Reduce { function: ReduceFunction::Sum, axes: axes.to_vec(), keep_dims: true }, &[ones])?;
    let share = b.div(grad, count)?;
    b.mul(ones, share)
}

/// Appends the gradient of a product: `grad` times all factors but one. Zero factors are replaced with 1 and counted
/// instead, so that nothing is divided by 0.
fn without_one_factor(
    b: &mut Builder<'_>,
    grad: ValueId,
    x: ValueId,
    axes: &[i64],
) -> Result<ValueId, GraphError> {
    let over = |function| Reduce { function, axes: axes.to_vec(), keep_dims: true };
    let (zero, one) = (b.scalar(0.0), b.scalar(1.0));
    let is_zero = b.binary(BinaryFunction::Equal, x, zero)?;
    let zeros = b.keep_where(is_zero, one)?;
    let count = b.apply(over(ReduceFunction::Sum), &[zeros])?;
    let other_zeros = b.sub(count, zeros)?;
    let factors = b.apply(Where, &[is_zero, one, x])?;
    let product = b.apply(over(ReduceFunction::Prod), &[factors])?;
    let product = b.mul(grad, product)?;
    let rest = b.div(product, factors)?;
    let none = b.binary(BinaryFunction::Equal, other_zeros, zero)?;
    b.keep_where(none, rest)
}
