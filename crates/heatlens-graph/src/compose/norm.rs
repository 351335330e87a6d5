//! Lp norms, (Σ|x|ᵖ)^(1/p), over windows and whole planes: ONNX `LpPool` and `GlobalLpPool`.

use super::invalid;
use crate::builder::Builder;
use crate::error::GraphError;
use crate::graph::ValueId;
use crate::op::binary::BinaryFunction;
use crate::op::pool::AveragePool;
use crate::op::unary::UnaryFunction;
use crate::op::r#where::Where;
use crate::op::window::{Window, spatial_sizes};

type Built = Result<ValueId, GraphError>;

/// |x|ᵖ.
///
/// # Errors
/// If `x` is not floating point or `p` is below 1.
pub fn power(b: &mut Builder<'_>, x: ValueId, p: i64) -> Built {
    match p {
        1 => b.unary(UnaryFunction::Abs, x),
        2 => b.mul(x, x),
        p if p > 2 => {
            let size = b.unary(UnaryFunction::Abs, x)?;
            #[allow(clippy::cast_precision_loss)] // small
            let exponent = b.scalar(p as f32);
            b.binary(BinaryFunction::Pow, size, exponent)
        }
        _ => Err(invalid("Lp norm", format!("expected p of at least 1, found {p}"))),
    }
}

/// sum^(1/p), with a gradient of 0 where the sum is 0: a norm is not differentiable there, and the formula's gradient
/// would be infinite.
///
/// # Errors
/// If `sum` is not floating point.
pub fn root(b: &mut Builder<'_>, sum: ValueId, p: i64) -> Built {
    if p == 1 {
        return Ok(sum);
    }
    let (mask, one) = (b.is_positive(sum)?, b.scalar(1.0));
    let safe = b.apply(Where, &[mask, sum, one])?;
    let root = if p == 2 {
        b.unary(UnaryFunction::Sqrt, safe)?
    } else {
        #[allow(clippy::cast_precision_loss)] // small
        let exponent = b.scalar(1.0 / p as f32);
        b.binary(BinaryFunction::Pow, safe, exponent)?
    };
    b.keep_where(mask, root)
}

/// Lp norm of each window; padding counts as 0. With `ceil_mode`, the last window may extend beyond the input. `x` is
/// N×C×spatial.
///
/// # Errors
/// If no window fits.
pub fn pool(b: &mut Builder<'_>, x: ValueId, window: &Window, ceil_mode: bool, p: i64) -> Built {
    let misfit = |source| super::refuse("LpPool", source);
    let input = spatial_sizes(b.fact(x)).map_err(misfit)?;
    let output = window.output_sizes(&input, ceil_mode).map_err(misfit)?;
    // Enough padding at the end for every window to be complete: then each mean is the window's sum ÷ size.
    let mut window = window.clone();
    for (i, count) in output.into_iter().enumerate() {
        let end = (count - 1) * window.strides[i] + (window.kernel[i] - 1) * window.dilations[i] + 1;
        window.pads_end[i] = window.pads_end[i].max(end.saturating_sub(input[i] + window.pads_begin[i]));
    }
    #[allow(clippy::cast_precision_loss)] // windows are small
    let size = window.len() as f32;
    let powers = power(b, x, p)?;
    let mean = b.apply(AveragePool { window, ceil_mode: false, count_include_pad: true }, &[powers])?;
    let sum = b.scale(mean, size)?;
    root(b, sum, p)
}

/// Lp norm of each channel of each sample; spatial axes become 1. `x` is N×C×spatial.
///
/// # Errors
/// If `x` does not have such axes.
pub fn global_pool(b: &mut Builder<'_>, x: ValueId, p: i64) -> Built {
    let axes: Vec<usize> = (2..b.shape(x).rank()).collect();
    if axes.is_empty() {
        return Err(invalid("GlobalLpPool", format!("expected N×C×spatial, found {}", b.shape(x))));
    }
    let powers = power(b, x, p)?;
    let sum = b.sum(powers, &axes, true)?;
    root(b, sum, p)
}
