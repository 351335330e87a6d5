//! Operators that return their input unchanged after training.

use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::Fact;
use crate::graph::{Node, ValueId};
use crate::op::{Kind, OnnxForm, Operator, first_grad, require, wants};
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

    fn vjp(
        &self,
        _: &mut Builder<'_>,
        _: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>, GraphError> {
        Ok(vec![first_grad(output_grads).filter(|_| wants(wanted, 0))])
    }
}
