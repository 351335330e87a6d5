//! Operators that return their input unchanged.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::Fact;
use crate::graph::{Node, ValueId};
use crate::op::{Kind, OnnxForm, Operator, require, require_value};
use crate::tensor::Tensor;

/// Returns its input. Input: x. Output: x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// ONNX's `Identity`.
    Identity,
    /// ONNX's `Dropout`, the identity after training.
    Dropout,
    /// The identity, but a constant for the derivative.
    Detached,
}

impl Operator for Identity {
    fn kind(&self) -> Kind<'_> {
        Kind::Identity
    }

    fn onnx_form(&self) -> OnnxForm {
        match self {
            Self::Identity => OnnxForm::new("Identity"),
            Self::Dropout => OnnxForm::new("Dropout"),
            Self::Detached => OnnxForm { standard: false, ..OnnxForm::new("Detached") },
        }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        Ok(vec![require(inputs, 0)?.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], _: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![require(inputs, 0)?.clone()])
    }

    fn vjp(&self, _: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let passes = *self != Self::Detached && back.wants(0);
        Ok(vec![back.grad().filter(|_| passes)])
    }

    fn lower(&self, b: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let detached = *self == Self::Detached;
        let identity = |x| Ok(vec![b.apply(Self::Identity, &[x])?]);
        detached.then(|| require_value(node, 0).and_then(identity)).transpose()
    }
}
