//! Quantisation, simulated in floating point.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Fact, Shape};
use crate::graph::{Node, ValueId};
use crate::op::binary::BinaryFunction;
use crate::op::broadcast::{for_each_offset, strides_in};
use crate::op::clip::Clip;
use crate::op::unary::UnaryFunction;
use crate::op::{
    Attribute, Kind, OnnxForm, Operator, first_shape, float_result, invalid, require, require_value,
};
use crate::tensor::Tensor;

/// `round(x ÷ scale) + zero_point`, ties rounded to even, clamped to `low`…`high`. Inputs: x, scale, zero point (both
/// scalars, or vectors along `axis`).
///
/// The derivative with respect to x is the straight-through estimate: 1 ÷ scale where at most one step is clamped, 0
/// elsewhere. Scale and zero point have no derivative. One step is allowed because the zero point is rounded: the
/// largest calibration value may lie one step outside, and it often belongs to the most confident image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FakeQuantize {
    /// Axis along which scale and zero point vary.
    pub axis: usize,
    /// Smallest quantised value.
    pub low: f32,
    /// Largest quantised value.
    pub high: f32,
}

impl FakeQuantize {
    /// Returns the shape in which a scale or zero point of `shape` broadcasts to `x`.
    ///
    /// # Errors
    /// If it is neither a scalar nor a vector along the axis.
    pub fn aligned(&self, shape: &Shape, x: &Shape) -> Result<Shape, OpError> {
        let along = x.0.get(self.axis).copied();
        match shape.0.as_slice() {
            [] => Ok(Shape::default()),
            [one] if one.is_one() => Ok(Shape::default()),
            [size] if Some(*size) == along => {
                let mut aligned = Shape::fixed(&vec![1; x.rank()]);
                aligned.0[self.axis] = *size;
                Ok(aligned)
            }
            _ => Err(invalid(format!(
                "expected one scale and zero point, or a vector along axis {} of {x}, found {shape}",
                self.axis
            ))),
        }
    }

    /// Appends `round(x ÷ scale) + zero_point`; also returns the aligned scale.
    fn unclamped(self, b: &mut Builder<'_>, node: &Node) -> Result<(ValueId, ValueId), GraphError> {
        let x = require_value(node, 0)?;
        let shape = b.shape(x);
        let mut parts = [require_value(node, 1)?, require_value(node, 2)?];
        for part in &mut parts {
            let aligned = self.aligned(&b.shape(*part), &shape).map_err(|e| super::at(node, e))?;
            *part = b.reshape(*part, aligned)?;
        }
        let [scale, zero] = parts;
        let ratio = b.div(x, scale)?;
        let whole = b.unary(UnaryFunction::Round, ratio)?;
        Ok((b.add(whole, zero)?, scale))
    }
}

impl Operator for FakeQuantize {
    fn kind(&self) -> Kind<'_> {
        Kind::Elementwise
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::internal("FakeQuantize")
            .with("axis", Attribute::Int(i64::try_from(self.axis).unwrap_or(i64::MAX)))
            .with("low", Attribute::Float(self.low))
            .with("high", Attribute::Float(self.high))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        for i in 0..3 {
            let part = require(inputs, i)?;
            if part.dtype != DType::F32 {
                return Err(invalid(format!("expected floating point at input {i}, found {:?}", part.dtype)));
            }
            if i > 0 {
                self.aligned(&part.shape, &x.shape)?;
            }
        }
        Ok(vec![x.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, scale, zero) = (require(inputs, 0)?, require(inputs, 1)?, require(inputs, 2)?);
        let shape = first_shape(shapes)?;
        let strides = |part: &Tensor| -> Result<Vec<usize>, OpError> {
            let aligned = self.aligned(&Shape::fixed(part.shape()), &Shape::fixed(x.shape()))?;
            Ok(strides_in(&aligned.at(1), shape))
        };
        let (by_scale, by_zero) = (strides(scale)?, strides(zero)?);
        let (scale, zero) = (scale.to_f64(), zero.to_f64());
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let mut values = x.to_f64();
        let mut elements = values.iter_mut();
        for_each_offset(shape, [&by_scale, &by_zero], |[s, z]| {
            let Some(v) = elements.next() else { return };
            let whole = (*v / scale[s]).round_ties_even() + zero[z];
            *v = BinaryFunction::Min.value(BinaryFunction::Max.value(whole, low), high);
        });
        float_result(shape, values)
    }

    fn vjp(&self, b: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        for index in [1, 2] {
            if back.wants(index) {
                return Err(crate::differentiate::no_derivative(back.node, index));
            }
        }
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        let (whole, scale) = self.unclamped(b, back.node)?;
        let mut dx = b.div(grad, scale)?;
        for (bound, inside) in
            [(self.low - 1.0, BinaryFunction::GreaterOrEqual), (self.high + 1.0, BinaryFunction::LessOrEqual)]
        {
            let bound = b.scalar(bound);
            let mask = b.binary(inside, whole, bound)?;
            dx = b.keep_where(mask, dx)?;
        }
        Ok(vec![Some(dx), None, None])
    }

    fn lower(&self, b: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let (whole, _) = self.unclamped(b, node)?;
        Ok(Some(vec![b.apply(Clip { min: self.low, max: self.high }, &[whole])?]))
    }
}
