//! Clamping, as in ReLU6.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{DType, Fact};
use crate::op::binary::BinaryFunction;
use crate::op::{Kind, OnnxForm, Operator, first_shape, float_result, invalid, require};
use crate::tensor::{Data, Tensor};

/// min(max(x, `min`), `max`). Input: x. The gradient passes strictly between the bounds only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// Lower bound.
    pub min: f32,
    /// Upper bound.
    pub max: f32,
}

impl Operator for Clip {
    fn kind(&self) -> Kind<'_> {
        Kind::Clip(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("Clip").with_constant(Tensor::scalar(self.min)).with_constant(Tensor::scalar(self.max))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        if x.dtype == DType::Bool {
            return Err(invalid("expected numbers, found truth values"));
        }
        Ok(vec![x.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        if let Some(values) = x.as_i64() {
            // The cast saturates bounds outside the range of `i64`.
            #[allow(clippy::cast_possible_truncation)]
            let (low, high) = (self.min.ceil() as i64, self.max.floor() as i64);
            let values = values.iter().map(|&v| v.max(low).min(high)).collect();
            let y = Tensor::new(shape.to_vec(), Data::I64(values));
            return Ok(vec![y.ok_or_else(|| invalid("the result does not fill its shape"))?]);
        }
        let (low, high) = (f64::from(self.min), f64::from(self.max));
        let clip = |x: f64| BinaryFunction::Min.value(BinaryFunction::Max.value(x, low), high);
        float_result(shape, x.to_f64().into_iter().map(clip).collect())
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let (Some(mut grad), true) = (back.grad(), back.wants(0)) else {
            return Ok(vec![None]);
        };
        let x = back.input(0)?;
        for (bound, inside) in [(self.min, BinaryFunction::Greater), (self.max, BinaryFunction::Less)] {
            if bound.is_finite() && bound.abs() < f32::MAX {
                let bound = builder.scalar(bound);
                let mask = builder.binary(inside, x, bound)?;
                grad = builder.keep_where(mask, grad)?;
            }
        }
        Ok(vec![Some(grad)])
    }
}
