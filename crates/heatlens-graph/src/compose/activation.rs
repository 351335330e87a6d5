//! Activation functions composed of other operators.

use crate::builder::Builder;
use crate::error::GraphError;
use crate::graph::ValueId;
use crate::op::binary::BinaryFunction;
use crate::op::clip::Clip;
use crate::op::unary::UnaryFunction;

type Built = Result<ValueId, GraphError>;

/// x · sigmoid(x), also called swish.
///
/// # Errors
/// If `x` is not floating point.
pub fn silu(b: &mut Builder<'_>, x: ValueId) -> Built {
    let gate = b.unary(UnaryFunction::Sigmoid, x)?;
    b.mul(x, gate)
}

/// x · sigmoid(alpha · x): ONNX `Swish`.
///
/// # Errors
/// If `x` is not floating point.
#[allow(clippy::float_cmp)] // 1 is exact, and the common case
pub fn swish(b: &mut Builder<'_>, x: ValueId, alpha: f32) -> Built {
    if alpha == 1.0 {
        return silu(b, x);
    }
    let scaled = b.scale(x, alpha)?;
    let gate = b.unary(UnaryFunction::Sigmoid, scaled)?;
    b.mul(x, gate)
}

/// ln(sigmoid(x)) = −softplus(−x), which does not underflow.
///
/// # Errors
/// If `x` is not floating point.
pub fn log_sigmoid(b: &mut Builder<'_>, x: ValueId) -> Built {
    let negative = b.neg(x)?;
    let softplus = b.unary(UnaryFunction::Softplus, negative)?;
    b.neg(softplus)
}

/// x clamped to −1…1.
///
/// # Errors
/// If `x` is not floating point.
pub fn hard_tanh(b: &mut Builder<'_>, x: ValueId) -> Built {
    b.apply(Clip { min: -1.0, max: 1.0 }, &[x])
}

/// x clamped to 0…6.
///
/// # Errors
/// If `x` is not floating point.
pub fn relu6(b: &mut Builder<'_>, x: ValueId) -> Built {
    b.apply(Clip { min: 0.0, max: 6.0 }, &[x])
}

/// x − tanh x.
///
/// # Errors
/// If `x` is not floating point.
pub fn tanh_shrink(b: &mut Builder<'_>, x: ValueId) -> Built {
    let tanh = b.unary(UnaryFunction::Tanh, x)?;
    b.sub(x, tanh)
}

/// ONNX `Shrink`: x + bias where x < −lambda, x − bias where x > lambda, 0 between. A bias of 0 gives the hard shrink,
/// a bias of lambda the soft shrink.
///
/// # Errors
/// If `x` is not floating point.
pub fn shrink(b: &mut Builder<'_>, x: ValueId, lambda: f32, bias: f32) -> Built {
    let (low, high) = (b.scalar(-lambda), b.scalar(lambda));
    let below = b.binary(BinaryFunction::Less, x, low)?;
    let above = b.binary(BinaryFunction::Greater, x, high)?;
    let bias = b.scalar(bias);
    let (raised, lowered) = (b.add(x, bias)?, b.sub(x, bias)?);
    let (left, right) = (b.keep_where(below, raised)?, b.keep_where(above, lowered)?);
    b.add(left, right)
}

/// (x + √(x² + curve)) ÷ 2, a smooth approximation of ReLU.
///
/// # Errors
/// If `x` is not floating point.
pub fn squareplus(b: &mut Builder<'_>, x: ValueId, curve: f32) -> Built {
    let square = b.mul(x, x)?;
    let curve = b.scalar(curve);
    let under = b.add(square, curve)?;
    let root = b.unary(UnaryFunction::Sqrt, under)?;
    let sum = b.add(x, root)?;
    b.scale(sum, 0.5)
}
