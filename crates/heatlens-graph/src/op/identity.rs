//! Operators that return their input unchanged after training.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::Fact;
use crate::op::{Kind, OnnxForm, Operator, require};
use crate::tensor::Tensor;

/// Returns its input. Input: x. Output: x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// ONNX's `Identity`.
    Identity,
    /// ONNX's `Dropout`, the identity after training.
    Dropout,
}

impl Operator for Identity {
    fn kind(&self) -> Kind<'_> {
        Kind::Identity
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new(match self {
            Self::Identity => "Identity",
            Self::Dropout => "Dropout",
        })
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        Ok(vec![require(inputs, 0)?.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], _: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![require(inputs, 0)?.clone()])
    }

    fn vjp(&self, _: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        Ok(vec![back.grad().filter(|_| back.wants(0))])
    }
}
