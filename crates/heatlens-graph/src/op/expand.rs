//! Broadcasting to a shape.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{Fact, Shape};
use crate::graph::{Node, ValueId};
use crate::op::broadcast::{broadcast, for_each_offset, strides_in};
use crate::op::export::{ExpandTo, sizes};
use crate::op::{Kind, OnnxForm, Operator, first_shape, invalid, require, require_value};
use crate::tensor::Tensor;

/// Input: x. Output: x broadcast to `shape`: repeated along axes of size 1 and along new leading axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expand {
    /// Target shape.
    pub shape: Shape,
}

impl Operator for Expand {
    fn kind(&self) -> Kind<'_> {
        Kind::Expand
    }

    fn onnx_form(&self) -> OnnxForm {
        // A shape that contains the batch size is not a constant in ONNX; `lower` computes it.
        let sizes = super::attribute::to_ints(&self.shape.at(1));
        let onnx_form = OnnxForm::new("Expand").with_constant(Tensor::i64(&sizes));
        OnnxForm { standard: !self.shape.has_batch(), ..onnx_form }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        if broadcast(&x.shape, &self.shape)? != self.shape {
            return Err(invalid(format!("{} does not expand to {}", x.shape, self.shape)));
        }
        Ok(vec![Fact { dtype: x.dtype, shape: self.shape.clone() }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        let strides = strides_in(x.shape(), shape);
        Tensor::assemble(&[x], shape, |emit| for_each_offset(shape, [&strides], |[at]| emit(0, at)))
    }

    fn vjp(&self, _: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        // `differentiate` sums over the repeated axes.
        Ok(vec![back.grad().filter(|_| back.wants(0))])
    }

    fn lower(&self, b: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let x = require_value(node, 0)?;
        let sizes = sizes(b, &self.shape)?;
        Ok(Some(vec![b.apply(ExpandTo { shape: self.shape.clone() }, &[x, sizes])?]))
    }
}
