//! Normalisation over selected axes: ONNX `InstanceNormalization`, `GroupNormalization`, `RMSNormalization`, `LRN`,
//! `LpNormalization` and `MeanVarianceNormalization`.

use super::{invalid, norm};
use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::op::binary::BinaryFunction;
use crate::op::pool::AveragePool;
use crate::op::reduce::ReduceFunction;
use crate::op::unary::UnaryFunction;
use crate::op::r#where::Where;
use crate::op::window::Window;

type Built = Result<ValueId, GraphError>;

/// (x − mean) ÷ √(variance + epsilon), with mean and variance over `axes`.
///
/// # Errors
/// If an axis does not exist.
pub fn standardize(b: &mut Builder<'_>, x: ValueId, axes: &[usize], epsilon: f32) -> Built {
    standardize_with(b, x, axes, epsilon).map(|(y, _, _)| y)
}

/// Same as [`standardize`]; also returns the mean and √(variance + epsilon).
///
/// # Errors
/// If an axis does not exist.
pub fn standardize_with(
    b: &mut Builder<'_>,
    x: ValueId,
    axes: &[usize],
    epsilon: f32,
) -> Result<(ValueId, ValueId, ValueId), GraphError> {
    let mean = b.mean(x, axes, true)?;
    let centred = b.sub(x, mean)?;
    let deviation = root_mean_square(b, centred, axes, epsilon)?;
    Ok((b.div(centred, deviation)?, mean, deviation))
}

/// √(mean of x² over `axes` + epsilon).
fn root_mean_square(b: &mut Builder<'_>, x: ValueId, axes: &[usize], epsilon: f32) -> Built {
    let square = b.mul(x, x)?;
    let mean = b.mean(square, axes, true)?;
    let epsilon = b.scalar(epsilon);
    let above_zero = b.add(mean, epsilon)?;
    b.unary(UnaryFunction::Sqrt, above_zero)
}

/// Standardises each channel of each sample over its spatial axes, then computes · scale + bias. `x` is N×C×spatial;
/// `scale` and `bias` hold one number per channel.
///
/// # Errors
/// If the shapes do not fit.
pub fn instance(b: &mut Builder<'_>, x: ValueId, scale: ValueId, bias: ValueId, epsilon: f32) -> Built {
    let rank = b.shape(x).rank();
    if rank < 3 {
        return Err(invalid("InstanceNormalization", format!("expected N×C×spatial, found {}", b.shape(x))));
    }
    let axes: Vec<usize> = (2..rank).collect();
    let y = standardize(b, x, &axes, epsilon)?;
    per_channel(b, y, scale, bias)
}

/// y · scale + bias, with one scale and bias per channel (axis 1).
fn per_channel(b: &mut Builder<'_>, y: ValueId, scale: ValueId, bias: ValueId) -> Built {
    let shape = b.shape(y);
    let mut along = vec![Dim::Fixed(1); shape.rank() - 1];
    along[0] = shape.0[1];
    let scale = b.reshape(scale, Shape(along.clone()))?;
    let bias = b.reshape(bias, Shape(along))?;
    let scaled = b.mul(y, scale)?;
    b.add(scaled, bias)
}

/// Splits the channels of each sample into `groups` of consecutive channels, standardises each group, then computes ·
/// scale + bias. `x` is N×C×spatial; `scale` and `bias` hold one number per channel, or one per group (as in operator
/// set 18).
///
/// # Errors
/// If the number of channels is not divisible by that of groups, or the shapes do not fit.
pub fn group(
    b: &mut Builder<'_>,
    x: ValueId,
    groups: usize,
    scale: ValueId,
    bias: ValueId,
    epsilon: f32,
) -> Built {
    let shape = b.shape(x);
    let misfit = || invalid("GroupNormalization", format!("{groups} groups of the channels of {shape}"));
    let (Some(&n), Some(&Dim::Fixed(channels))) = (shape.0.first(), shape.0.get(1)) else {
        return Err(misfit());
    };
    if groups == 0 || !channels.is_multiple_of(groups) {
        return Err(misfit());
    }
    let inner = Shape(shape.0[1..].to_vec()).len_per_sample().ok_or_else(misfit)?;
    let grouped = b.reshape(x, Shape(vec![n, Dim::Fixed(groups), Dim::Fixed(inner / groups)]))?;
    let y = standardize(b, grouped, &[2], epsilon)?;
    if groups != channels && b.shape(scale) == Shape::fixed(&[groups]) {
        let y = per_channel(b, y, scale, bias)?;
        return b.reshape(y, shape);
    }
    let y = b.reshape(y, shape)?;
    per_channel(b, y, scale, bias)
}

/// x ÷ √(mean of x² over `axes` + epsilon) · scale.
///
/// # Errors
/// If an axis does not exist or `scale` does not broadcast.
pub fn rms(b: &mut Builder<'_>, x: ValueId, axes: &[usize], scale: ValueId, epsilon: f32) -> Built {
    let size = root_mean_square(b, x, axes, epsilon)?;
    let y = b.div(x, size)?;
    b.mul(y, scale)
}

/// Parameters of [`lrn`], whose divisor is (bias + alpha ÷ size · Σ x²)^beta over `size` neighbouring channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrnOptions {
    /// Number of channels in the sum.
    pub size: usize,
    /// Factor of the sum.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Constant added to the scaled sum.
    pub bias: f32,
}

/// Local response normalisation: x ÷ (bias + alpha ÷ size · Σ x²)^beta, summed over the channels from c − ⌊(size − 1) ÷
/// 2⌋ to c + ⌈(size − 1) ÷ 2⌉. `x` is N×C×spatial.
///
/// # Errors
/// If `x` has no channel axis or `size` is 0.
pub fn lrn(b: &mut Builder<'_>, x: ValueId, options: LrnOptions) -> Built {
    let LrnOptions { size, alpha, beta, bias } = options;
    let shape = b.shape(x);
    let misfit = || invalid("LRN", format!("a window of {size} channels of {shape}"));
    let (Some(&n), Some(&channels)) = (shape.0.first(), shape.0.get(1)) else { return Err(misfit()) };
    let rest = size.checked_sub(1).ok_or_else(misfit)?;
    let pixels = Shape(shape.0[2..].to_vec()).len_per_sample().ok_or_else(misfit)?;
    let square = b.mul(x, x)?;
    // Makes the channels a spatial axis, over which an average that counts padding is the sum ÷ size.
    let image = b.reshape(square, Shape(vec![n, Dim::Fixed(1), channels, Dim::Fixed(pixels)]))?;
    let mut window = Window::new(&[size, 1]);
    (window.pads_begin, window.pads_end) = (vec![rest / 2, 0], vec![rest - rest / 2, 0]);
    let pool = AveragePool { window, ceil_mode: false, count_include_pad: true };
    let mean = b.apply(pool, &[image])?;
    let mean = b.reshape(mean, shape)?;
    let scaled = b.scale(mean, alpha)?;
    let bias = b.scalar(bias);
    let base = b.add(scaled, bias)?;
    let beta = b.scalar(beta);
    let divisor = b.binary(BinaryFunction::Pow, base, beta)?;
    b.div(x, divisor)
}

/// x ÷ ‖x‖ along `axis`, where the norm is Σ|x| (`p` = 1) or √Σx² (`p` = 2). A row of zeros stays zero and has a
/// gradient of zero.
///
/// # Errors
/// If the axis does not exist, or `p` is neither 1 nor 2.
pub fn lp(b: &mut Builder<'_>, x: ValueId, axis: usize, p: i64) -> Built {
    if !matches!(p, 1 | 2) {
        return Err(invalid("LpNormalization", format!("expected p to be 1 or 2, found {p}")));
    }
    let power = norm::power(b, x, p)?;
    let sum = b.sum(power, &[axis], true)?;
    // Divide rows of zeros by 1.
    let (mask, one) = (b.is_positive(sum)?, b.scalar(1.0));
    let sum = b.apply(Where, &[mask, sum, one])?;
    let norm = norm::root(b, sum, p)?;
    b.div(x, norm)
}

/// (x − mean) ÷ (√variance + 10⁻⁹) over `axes`, with the variance E(x²) − E(x)² of the operator's definition.
///
/// # Errors
/// If an axis does not exist.
pub fn mean_variance(b: &mut Builder<'_>, x: ValueId, axes: &[usize]) -> Built {
    let mean = b.mean(x, axes, true)?;
    let centred = b.sub(x, mean)?;
    // The mean of (x − mean)² is mathematically equal and avoids cancellation.
    let square = b.mul(centred, centred)?;
    let variance = b.reduce(ReduceFunction::Mean, square, axes, true)?;
    let deviation = b.unary(UnaryFunction::Sqrt, variance)?;
    let epsilon = b.scalar(1e-9);
    let divisor = b.add(deviation, epsilon)?;
    b.div(centred, divisor)
}
