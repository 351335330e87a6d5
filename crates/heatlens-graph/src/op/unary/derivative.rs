//! Derivatives of functions of one value, as nodes.

use super::lower::{gelu_argument, half_above};
use super::{GELU_CUBE, GELU_SCALE, Scalar, UnaryFunction};
use crate::builder::Builder;
use crate::error::GraphError;
use crate::graph::ValueId;
use crate::op::binary::BinaryFunction;
use crate::op::clip::Clip;
use crate::op::r#where::Where;

type Built = Result<ValueId, GraphError>;

impl UnaryFunction {
    /// Appends `grad · f′(x)`, given the input `x` and the output `y`; `None` if it is 0 everywhere.
    pub(super) fn chain(
        self,
        b: &mut Builder<'_>,
        grad: ValueId,
        x: ValueId,
        y: ValueId,
    ) -> Result<Option<ValueId>, GraphError> {
        if self.is_flat() {
            return Ok(None);
        }
        Ok(Some(match self {
            Self::Exp => b.mul(grad, y)?,
            Self::Log => b.div(grad, x)?,
            Self::Neg => b.neg(grad)?,
            Self::Reciprocal => {
                let square = b.mul(y, y)?;
                let product = b.mul(grad, square)?;
                b.neg(product)?
            }
            Self::Relu => {
                // y > 0 exactly where x > 0, and y is needed later anyway.
                let mask = b.is_positive(y)?;
                b.keep_where(mask, grad)?
            }
            Self::Sqrt => {
                let ratio = b.binary(BinaryFunction::Div, grad, y)?;
                b.scale(ratio, 0.5)?
            }
            Self::LeakyRelu(alpha) => {
                let less = b.scale(grad, alpha.get())?;
                where_positive(b, x, grad, less)?
            }
            Self::HardSigmoid { alpha, .. } => {
                let inside = between(b, y, grad, 0.0, 1.0)?;
                b.scale(inside, alpha.get())?
            }
            Self::ThresholdedRelu(alpha) => {
                let alpha = b.scalar(alpha.get());
                let mask = b.binary(BinaryFunction::Greater, x, alpha)?;
                b.keep_where(mask, grad)?
            }
            _ => {
                let slope = self.slope(b, x, y)?;
                b.mul(grad, slope)?
            }
        }))
    }

    /// Appends f′(x) for functions whose gradient is simply `grad · f′(x)`.
    fn slope(self, b: &mut Builder<'_>, x: ValueId, y: ValueId) -> Built {
        match self {
            Self::Abs => b.unary(Self::Sign, x),
            Self::Sigmoid => {
                let rest = one_minus(b, y)?;
                b.mul(y, rest)
            }
            Self::Softplus => b.unary(Self::Sigmoid, x),
            Self::Tanh => {
                let square = b.mul(y, y)?;
                one_minus(b, square)
            }
            Self::Elu(alpha) => exponential_side(b, x, 1.0, alpha, Scalar::new(1.0)),
            Self::Celu(alpha) => exponential_side(b, x, alpha.get(), Scalar::new(1.0), Scalar::new(1.0)),
            Self::Selu { alpha, gamma } => exponential_side(b, x, 1.0, alpha, gamma),
            Self::HardSwish => {
                // Computes six times the gate, because 1/6 is not exact in binary.
                let (three, six) = (b.scalar(3.0), b.scalar(6.0));
                let shifted = b.add(x, three)?;
                let gate = b.apply(Clip { min: 0.0, max: 6.0 }, &[shifted])?;
                let inside = between(b, gate, x, 0.0, 6.0)?;
                let sum = b.add(gate, inside)?;
                b.div(sum, six)
            }
            Self::Mish => mish_slope(b, x),
            Self::Gelu => gelu_slope(b, x),
            Self::GeluTanh => gelu_tanh_slope(b, x),
            Self::Erf => {
                let square = b.mul(x, x)?;
                let exponent = b.neg(square)?;
                let bell = b.unary(Self::Exp, exponent)?;
                b.scale(bell, std::f32::consts::FRAC_2_SQRT_PI)
            }
            Self::Softsign => {
                let size = b.unary(Self::Abs, x)?;
                let one = b.scalar(1.0);
                let sum = b.add(size, one)?;
                let inverse = b.unary(Self::Reciprocal, sum)?;
                b.mul(inverse, inverse)
            }
            Self::Sin => b.unary(Self::Cos, x),
            Self::Cos => {
                let sine = b.unary(Self::Sin, x)?;
                b.neg(sine)
            }
            // `chain` handles all others.
            _ => Err(GraphError::Malformed(format!("{self:?} has no slope"))),
        }
    }
}

/// 1 − x.
fn one_minus(b: &mut Builder<'_>, x: ValueId) -> Built {
    let one = b.scalar(1.0);
    b.sub(one, x)
}

/// `yes` where x > 0, `no` elsewhere.
fn where_positive(b: &mut Builder<'_>, x: ValueId, yes: ValueId, no: ValueId) -> Built {
    let mask = b.is_positive(x)?;
    b.apply(Where, &[mask, yes, no])
}

/// `value` where `low` < y < `high`, 0 elsewhere.
fn between(b: &mut Builder<'_>, y: ValueId, value: ValueId, low: f32, high: f32) -> Built {
    let (low, high) = (b.scalar(low), b.scalar(high));
    let above = b.binary(BinaryFunction::Greater, y, low)?;
    let below = b.binary(BinaryFunction::Less, y, high)?;
    let value = b.keep_where(above, value)?;
    b.keep_where(below, value)
}

/// gamma where x > 0, gamma · alpha · e^(x ÷ width) elsewhere.
fn exponential_side(b: &mut Builder<'_>, x: ValueId, width: f32, alpha: Scalar, gamma: Scalar) -> Built {
    // The branch not selected must not overflow: infinity times a gradient of 0 is NaN.
    let zero = b.scalar(0.0);
    let left = b.binary(BinaryFunction::Min, x, zero)?;
    let scaled = if width.to_bits() == 1.0f32.to_bits() { left } else { b.scale(left, 1.0 / width)? };
    let exponential = b.unary(UnaryFunction::Exp, scaled)?;
    let bent = b.scale(exponential, alpha.get() * gamma.get())?;
    let gamma = b.scalar(gamma.get());
    where_positive(b, x, gamma, bent)
}

/// t + x · (1 − t²) · σ(x), where t = tanh(ln(1 + eˣ)).
fn mish_slope(b: &mut Builder<'_>, x: ValueId) -> Built {
    let soft = b.unary(UnaryFunction::Softplus, x)?;
    let t = b.unary(UnaryFunction::Tanh, soft)?;
    let square = b.mul(t, t)?;
    let rest = one_minus(b, square)?;
    let sigmoid = b.unary(UnaryFunction::Sigmoid, x)?;
    let product = b.mul(rest, sigmoid)?;
    let bent = b.mul(x, product)?;
    b.add(t, bent)
}

/// Φ(x) + x · φ(x).
fn gelu_slope(b: &mut Builder<'_>, x: ValueId) -> Built {
    let scaled = b.scale(x, std::f32::consts::FRAC_1_SQRT_2)?;
    let error = b.unary(UnaryFunction::Erf, scaled)?;
    let gate = half_above(b, error)?;
    let square = b.mul(x, x)?;
    let exponent = b.scale(square, -0.5)?;
    let bell = b.unary(UnaryFunction::Exp, exponent)?;
    // 1 ÷ √(2π)
    let density = b.scale(bell, 0.5 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2)?;
    let bent = b.mul(x, density)?;
    b.add(gate, bent)
}

/// (1 + t) ÷ 2 + x ÷ 2 · (1 − t²) · u′, where t = tanh u.
#[allow(clippy::cast_possible_truncation)] // constants of a few digits
fn gelu_tanh_slope(b: &mut Builder<'_>, x: ValueId) -> Built {
    let argument = gelu_argument(b, x)?;
    let t = b.unary(UnaryFunction::Tanh, argument)?;
    let gate = half_above(b, t)?;
    let square = b.mul(x, x)?;
    let bent = b.scale(square, (1.5 * GELU_SCALE * GELU_CUBE) as f32)?;
    let straight = b.scalar((0.5 * GELU_SCALE) as f32);
    let half_inner = b.add(bent, straight)?;
    let squared = b.mul(t, t)?;
    let rest = one_minus(b, squared)?;
    let product = b.mul(rest, half_inner)?;
    let product = b.mul(x, product)?;
    b.add(gate, product)
}
