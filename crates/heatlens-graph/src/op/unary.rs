//! Functions of one value, element by element. One row of [`UnaryFunction`] is one operator.

use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Fact};
use crate::graph::{Node, ValueId};
use crate::op::binary::BinaryFunction;
use crate::op::{
    Operator, Spelling, first_grad, first_shape, float_result, invalid, require, require_value, wants,
};
use crate::tensor::Tensor;

/// The functions, named as ONNX names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnaryFunction {
    /// |x|; its derivative at 0 is 0.
    Abs,
    /// eˣ.
    Exp,
    /// ln x.
    Log,
    /// −x.
    Neg,
    /// 1 ÷ x.
    Reciprocal,
    /// max(x, 0); its derivative at 0 is 0.
    Relu,
    /// 1 ÷ (1 + e⁻ˣ).
    Sigmoid,
    /// −1, 0 or 1.
    Sign,
    /// ln(1 + eˣ).
    Softplus,
    /// √x.
    Sqrt,
    /// tanh x.
    Tanh,
}

impl UnaryFunction {
    /// Every function.
    pub const ALL: [Self; 11] = [
        Self::Abs,
        Self::Exp,
        Self::Log,
        Self::Neg,
        Self::Reciprocal,
        Self::Relu,
        Self::Sigmoid,
        Self::Sign,
        Self::Softplus,
        Self::Sqrt,
        Self::Tanh,
    ];

    /// The ONNX operator.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Abs => "Abs",
            Self::Exp => "Exp",
            Self::Log => "Log",
            Self::Neg => "Neg",
            Self::Reciprocal => "Reciprocal",
            Self::Relu => "Relu",
            Self::Sigmoid => "Sigmoid",
            Self::Sign => "Sign",
            Self::Softplus => "Softplus",
            Self::Sqrt => "Sqrt",
            Self::Tanh => "Tanh",
        }
    }

    /// The value at `x`.
    #[must_use]
    pub fn value(self, x: f64) -> f64 {
        match self {
            Self::Abs => x.abs(),
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Neg => -x,
            Self::Reciprocal => x.recip(),
            Self::Relu if x.is_nan() => x,
            Self::Relu => x.max(0.0),
            Self::Sigmoid if x >= 0.0 => 1.0 / (1.0 + (-x).exp()),
            Self::Sigmoid => x.exp() / (1.0 + x.exp()),
            Self::Sign if x == 0.0 || x.is_nan() => x,
            Self::Sign => x.signum(),
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Sqrt => x.sqrt(),
            Self::Tanh => x.tanh(),
        }
    }

    /// Appends `grad · f′(x)`, given the input `x` and the output `y`.
    fn chain(
        self,
        b: &mut Builder<'_>,
        grad: ValueId,
        x: ValueId,
        y: ValueId,
    ) -> Result<Option<ValueId>, GraphError> {
        Ok(Some(match self {
            Self::Abs => {
                let sign = b.unary(Self::Sign, x)?;
                b.mul(grad, sign)?
            }
            Self::Exp => b.mul(grad, y)?,
            Self::Log => b.div(grad, x)?,
            Self::Neg => b.neg(grad)?,
            Self::Reciprocal => {
                let square = b.mul(y, y)?;
                let product = b.mul(grad, square)?;
                b.neg(product)?
            }
            Self::Relu => {
                // y > 0 exactly where x > 0, and y is needed further on anyway.
                let mask = b.is_positive(y)?;
                b.keep_where(mask, grad)?
            }
            Self::Sigmoid => {
                let one = b.scalar(1.0);
                let rest = b.sub(one, y)?;
                let slope = b.mul(y, rest)?;
                b.mul(grad, slope)?
            }
            Self::Sign => return Ok(None),
            Self::Softplus => {
                let slope = b.unary(Self::Sigmoid, x)?;
                b.mul(grad, slope)?
            }
            Self::Sqrt => {
                let ratio = b.binary(BinaryFunction::Div, grad, y)?;
                b.scale(ratio, 0.5)?
            }
            Self::Tanh => {
                let square = b.mul(y, y)?;
                let one = b.scalar(1.0);
                let slope = b.sub(one, square)?;
                b.mul(grad, slope)?
            }
        }))
    }
}

/// Applies a function to every element. Inputs: x. Output: the same shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unary(pub UnaryFunction);

impl Operator for Unary {
    fn spelling(&self) -> Spelling {
        Spelling::new(self.0.name())
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        if x.dtype != DType::F32 {
            return Err(invalid(format!("expected floating-point input, found {:?}", x.dtype)));
        }
        Ok(vec![x.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let x = require(inputs, 0)?.to_f64();
        float_result(first_shape(shapes)?, x.into_iter().map(|x| self.0.value(x)).collect())
    }

    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>, GraphError> {
        let (Some(grad), true) = (first_grad(output_grads), wants(wanted, 0)) else { return Ok(vec![None]) };
        let x = require_value(node, 0)?;
        Ok(vec![self.0.chain(builder, grad, x, node.outputs[0])?])
    }
}
