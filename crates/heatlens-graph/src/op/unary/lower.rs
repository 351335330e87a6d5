//! Functions that are missing in the operator set that is written.

use super::{GELU_CUBE, GELU_SCALE, UnaryFunction};
use crate::builder::Builder;
use crate::error::GraphError;
use crate::graph::ValueId;

#[allow(clippy::cast_possible_truncation)] // constants of a few digits
impl UnaryFunction {
    /// Appends the function in standard operators; `None` if it is standard itself.
    pub(super) fn in_standard_operators(
        self,
        b: &mut Builder<'_>,
        x: ValueId,
    ) -> Result<Option<ValueId>, GraphError> {
        let inner = match self {
            Self::Gelu => {
                let scaled = b.scale(x, std::f32::consts::FRAC_1_SQRT_2)?;
                b.unary(Self::Erf, scaled)?
            }
            Self::GeluTanh => {
                let argument = gelu_argument(b, x)?;
                b.unary(Self::Tanh, argument)?
            }
            _ => return Ok(None),
        };
        let gate = half_above(b, inner)?;
        Ok(Some(b.mul(x, gate)?))
    }
}

/// (1 + x) ÷ 2.
pub(super) fn half_above(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, GraphError> {
    let one = b.scalar(1.0);
    let sum = b.add(x, one)?;
    b.scale(sum, 0.5)
}

/// √(2 ÷ π) · (x + 0.044715 x³).
#[allow(clippy::cast_possible_truncation)] // constants of a few digits
pub(super) fn gelu_argument(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, GraphError> {
    let square = b.mul(x, x)?;
    let bent = b.scale(square, (GELU_SCALE * GELU_CUBE) as f32)?;
    let straight = b.scalar(GELU_SCALE as f32);
    let factor = b.add(bent, straight)?;
    b.mul(x, factor)
}
