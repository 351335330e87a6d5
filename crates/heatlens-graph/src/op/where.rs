//! Selection between two values by a mask.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{DType, Fact};
use crate::op::broadcast::{broadcast, for_each_offset, strides_in};
use crate::op::{Kind, OnnxForm, Operator, first_shape, invalid, require};
use crate::tensor::Tensor;

/// Inputs: mask, x, y. Output: x where the mask is true, y elsewhere, broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Where;

impl Operator for Where {
    fn kind(&self) -> Kind<'_> {
        Kind::Where
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("Where")
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (mask, x, y) = (require(inputs, 0)?, require(inputs, 1)?, require(inputs, 2)?);
        if mask.dtype != DType::Bool || x.dtype != y.dtype {
            return Err(invalid(format!(
                "expected a mask and two values of one type, found {:?}, {:?} and {:?}",
                mask.dtype, x.dtype, y.dtype
            )));
        }
        let shape = broadcast(&mask.shape, &broadcast(&x.shape, &y.shape)?)?;
        Ok(vec![Fact { dtype: x.dtype, shape }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (mask, x, y) = (require(inputs, 0)?, require(inputs, 1)?, require(inputs, 2)?);
        let shape = first_shape(shapes)?;
        let [sm, sx, sy] = [mask, x, y].map(|t| strides_in(t.shape(), shape));
        let chosen = mask.to_f64();
        Tensor::assemble(&[x, y], shape, |emit| {
            for_each_offset(
                shape,
                [&sm, &sx, &sy],
                |[m, x, y]| {
                    if chosen[m] != 0.0 { emit(0, x) } else { emit(1, y) }
                },
            );
        })
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad() else { return back.nothing() };
        let mask = back.input(0)?;
        let x = back.wants(1).then(|| builder.keep_where(mask, grad)).transpose()?;
        let y = if back.wants(2) {
            let zero = builder.scalar(0.0);
            Some(builder.apply(Self, &[mask, zero, grad])?)
        } else {
            None
        };
        Ok(vec![None, x, y])
    }
}
