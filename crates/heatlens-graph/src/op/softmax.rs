//! Softmax and log-softmax.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{DType, Fact, Shape};
use crate::op::unary::UnaryFunction;
use crate::op::{Attribute, Kind, OnnxForm, Operator, at, first_shape, float_result, invalid, require};
use crate::tensor::Tensor;

/// eˣ ÷ Σ eˣ along `axis`, or its logarithm. Input: x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// Axis; negative values count from the back.
    pub axis: i64,
    /// True for `LogSoftmax`.
    pub log: bool,
}

impl Softmax {
    /// Returns the axis of a value of `shape`, counted from the front.
    ///
    /// # Errors
    /// If it does not exist or is the batch axis.
    pub fn axis_of(&self, shape: &Shape) -> Result<usize, OpError> {
        let axis = shape.axis(self.axis).ok_or_else(|| invalid(format!("axis {} of {shape}", self.axis)))?;
        if shape.0[axis].is_batch() {
            return Err(invalid(format!("a softmax over the batch of {shape}")));
        }
        Ok(axis)
    }
}

impl Operator for Softmax {
    fn kind(&self) -> Kind<'_> {
        Kind::Softmax(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new(if self.log { "LogSoftmax" } else { "Softmax" }).with("axis", Attribute::Int(self.axis))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        if x.dtype != DType::F32 {
            return Err(invalid(format!("expected floating-point input, found {:?}", x.dtype)));
        }
        self.axis_of(&x.shape)?;
        Ok(vec![x.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let x = require(inputs, 0)?;
        let axis = self.axis_of(&Shape::fixed(x.shape()))?;
        let (count, step) = (x.shape()[axis], x.shape()[axis + 1..].iter().product::<usize>());
        let mut values = x.to_f64();
        for block in values.chunks_mut((count * step).max(1)) {
            for i in 0..step {
                let column = |k: usize| k * step + i;
                let top = (0..count).map(|k| block[column(k)]).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = (0..count).map(|k| (block[column(k)] - top).exp()).sum();
                for k in 0..count {
                    let log = block[column(k)] - top - sum.ln();
                    block[column(k)] = if self.log { log } else { log.exp() };
                }
            }
        }
        float_result(first_shape(shapes)?, values)
    }

    fn vjp(&self, b: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        let y = back.node.outputs[0];
        let axis = self.axis_of(&b.shape(y)).map_err(|e| at(back.node, e))?;
        let dx = if self.log {
            let total = b.sum(grad, &[axis], true)?;
            let p = b.unary(UnaryFunction::Exp, y)?;
            let share = b.mul(p, total)?;
            b.sub(grad, share)?
        } else {
            let product = b.mul(grad, y)?;
            let total = b.sum(product, &[axis], true)?;
            let rest = b.sub(grad, total)?;
            b.mul(y, rest)?
        };
        Ok(vec![Some(dx)])
    }
}
