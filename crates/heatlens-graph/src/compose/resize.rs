//! Resizing: ONNX `Resize` and `Upsample`, one axis at a time.
//!
//! Interpolation is linear in the image, so along one axis it is a product with a matrix whose row `o` holds the weights of the
//! input elements that output element `o` is made of. The row depends on where `o` falls in the input ([`Coordinates`]) and on the
//! kernel that spreads it over its neighbours ([`Mode`]).

use super::invalid;
use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::op::gather::Gather;
use crate::tensor::Tensor;

/// Larger matrices are refused: no image has sides that need one.
const MAX_MATRIX: usize = 1 << 26;

/// Which pixel counts as nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The nearer one; halfway, the lower.
    PreferFloor,
    /// The nearer one; halfway, the higher.
    PreferCeil,
    /// The lower one.
    Floor,
    /// The higher one.
    Ceil,
}

/// How an output element is made of its neighbours in the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// One of them.
    Nearest(Rounding),
    /// Two, by distance.
    Linear,
    /// Four, by Keys' cubic with this coefficient (−0.75 in PyTorch, −0.5 in TensorFlow).
    Cubic {
        /// The coefficient.
        a: f32,
    },
}

/// Where element `o` of the output falls in the input (ONNX's `coordinate_transformation_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// (o + 0.5) ÷ scale − 0.5.
    HalfPixel,
    /// The same around the centre of the output where its size was rounded.
    HalfPixelSymmetric,
    /// As `HalfPixel`, but 0 where the output has one element.
    PytorchHalfPixel,
    /// The first and last elements of both lie on each other.
    AlignCorners,
    /// o ÷ scale.
    Asymmetric,
    /// (o + 0.5) ÷ scale, in operator sets 11 and 12.
    TfHalfPixelForNn,
}

/// A way to resize.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampling {
    /// Which neighbours count, and how much.
    pub mode: Mode,
    /// Where they are.
    pub coordinates: Coordinates,
    /// Whether neighbours outside the input count nothing; otherwise they are the element at the edge.
    pub exclude_outside: bool,
    /// Whether the kernel widens when the output is smaller, such that no input element is left out.
    pub antialias: bool,
}

impl Coordinates {
    /// Where element `o` of `output` falls in an axis of `input` elements.
    #[allow(clippy::cast_precision_loss)] // sizes are far below 2^53
    fn at(self, o: usize, input: usize, output: usize, scale: f64) -> f64 {
        let half_pixel = (o as f64 + 0.5) / scale - 0.5;
        match self {
            Self::HalfPixel => half_pixel,
            Self::HalfPixelSymmetric => {
                let rounded = output as f64 / (input as f64 * scale);
                input as f64 / 2.0 * (1.0 - rounded) + half_pixel
            }
            Self::PytorchHalfPixel if output == 1 => 0.0,
            Self::PytorchHalfPixel => half_pixel,
            Self::AlignCorners if output == 1 => 0.0,
            Self::AlignCorners => o as f64 * (input as f64 - 1.0) / (output as f64 - 1.0),
            Self::Asymmetric => o as f64 / scale,
            Self::TfHalfPixelForNn => (o as f64 + 0.5) / scale,
        }
    }
}

/// `scale` is a rounded number: what it divides can miss an integer by a rounding error, which decides what is nearest.
#[allow(clippy::cast_possible_truncation)]
fn without_rounding_error(x: f64) -> f64 {
    f64::from(x as f32)
}

impl Mode {
    /// The kernel's weight at distance `t`.
    fn weight(self, t: f64) -> f64 {
        let t = t.abs();
        match self {
            Self::Nearest(_) => 0.0,
            Self::Linear => (1.0 - t).max(0.0),
            Self::Cubic { a } => {
                let a = f64::from(a);
                match t {
                    t if t <= 1.0 => ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0,
                    t if t < 2.0 => ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a,
                    _ => 0.0,
                }
            }
        }
    }

    /// The distance from which on the weight is 0.
    fn reach(self) -> f64 {
        match self {
            Self::Nearest(_) => 0.0,
            Self::Linear => 1.0,
            Self::Cubic { .. } => 2.0,
        }
    }
}

impl Rounding {
    fn round(self, x: f64) -> f64 {
        match self {
            Self::PreferFloor => (x - 0.5).ceil(),
            Self::PreferCeil => (x + 0.5).floor(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
        }
    }
}

/// For each element of the output the element of the input that is nearest.
#[must_use]
pub fn nearest(
    rounding: Rounding,
    coordinates: Coordinates,
    input: usize,
    output: usize,
    scale: f64,
) -> Vec<usize> {
    let place = |o| rounding.round(without_rounding_error(coordinates.at(o, input, output, scale)));
    (0..output).map(|o| inside(place(o), input)).collect()
}

/// The position, or the one at the edge where it lies outside.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn inside(x: f64, size: usize) -> usize {
    x.clamp(0.0, size.saturating_sub(1) as f64) as usize // NaN becomes 0
}

/// `x` with `axis` resized to the elements at `places`, as [`nearest`] gives them: no product is needed.
///
/// # Errors
/// If a place lies outside, or the axis is the batch.
pub fn choose(
    b: &mut Builder<'_>,
    x: ValueId,
    axis: usize,
    places: Vec<usize>,
) -> Result<ValueId, GraphError> {
    let shape = vec![places.len()];
    b.apply(Gather { axis, indices: places.into(), shape }, &[x])
}

/// The interpolation matrix (`output` × `input`) of an axis. `scale` is the wanted ratio of the sizes, which `output` may have rounded.
///
/// # Errors
/// If an axis is empty, the scale is no positive number, or the matrix would be unreasonably large.
pub fn matrix(
    resampling: &Resampling,
    input: usize,
    output: usize,
    scale: f64,
) -> Result<Tensor, GraphError> {
    let elements = input.checked_mul(output).filter(|&n| n <= MAX_MATRIX);
    let (Some(elements), true) = (elements, input > 0 && scale.is_finite() && scale > 0.0) else {
        return Err(invalid("Resize", format!("{input} elements to {output} by a scale of {scale}")));
    };
    let mut values = vec![0.0f32; elements];
    if let Mode::Nearest(rounding) = resampling.mode {
        let chosen = nearest(rounding, resampling.coordinates, input, output, scale);
        for (row, i) in values.chunks_exact_mut(input).zip(chosen) {
            row[i] = 1.0;
        }
    } else {
        for (o, row) in values.chunks_exact_mut(input).enumerate() {
            fill(resampling, resampling.coordinates.at(o, input, output, scale), scale, row);
        }
    }
    Ok(Tensor::f32(&[output, input], values))
}

/// The weights of the elements around `centre`.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn fill(resampling: &Resampling, centre: f64, scale: f64, row: &mut [f32]) {
    let size = row.len();
    let shrink = if resampling.antialias { scale.min(1.0) } else { 1.0 };
    // No wider than the axis on both sides: beyond, all is the edge. This bounds the loop.
    let reach = (resampling.mode.reach() / shrink).min(4.0 * size as f64 + 4.0);
    let centre = centre.clamp(-(size as f64) - 4.0, 2.0 * size as f64 + 4.0);
    let mut weights = vec![0.0f64; size];
    let mut position = (centre - reach).ceil();
    while position <= centre + reach {
        let outside = position < 0.0 || position > (size - 1) as f64;
        if !(outside && resampling.exclude_outside) {
            weights[inside(position, size)] += resampling.mode.weight((position - centre) * shrink);
        }
        position += 1.0;
    }
    let sum: f64 = weights.iter().sum();
    if sum != 0.0 {
        row.iter_mut().zip(weights).for_each(|(slot, w)| *slot = (w / sum) as f32);
    }
}

/// `x` with `axis` replaced by its product with a matrix (new size × old size) as [`matrix`] makes it.
///
/// # Errors
/// If the sizes do not fit, or the axis is the batch.
pub fn resize(b: &mut Builder<'_>, x: ValueId, axis: usize, matrix: &Tensor) -> Result<ValueId, GraphError> {
    let shape = b.shape(x);
    let (&[output, input], Some(&Dim::Fixed(size))) = (matrix.shape(), shape.0.get(axis)) else {
        return Err(invalid("Resize", format!("axis {axis} of {shape}")));
    };
    if size != input {
        return Err(invalid("Resize", format!("a matrix for {input} elements along axis {axis} of {shape}")));
    }
    let (front, back) = (shape.0[..axis].to_vec(), shape.0[axis + 1..].to_vec());
    let resized = Shape([front.clone(), vec![Dim::Fixed(output)], back.clone()].concat());
    let weights = b.constant(matrix.clone());
    if back.iter().all(|d| d.is_one()) {
        // The axis is the last: rows times the transposed matrix.
        let front = if front.is_empty() { vec![Dim::Fixed(1)] } else { front };
        let rows = b.reshape(x, Shape([front, vec![Dim::Fixed(input)]].concat()))?;
        let transposed = b.transpose(weights, &[1, 0])?;
        let product = b.matmul(rows, transposed)?;
        return b.reshape(product, resized);
    }
    let inner = Shape(back).len_per_sample().filter(|_| !shape.0[axis + 1..].iter().any(|d| d.is_batch()));
    let inner =
        inner.ok_or_else(|| invalid("Resize", format!("axis {axis} of {shape}, outside the batch")))?;
    let columns = b.reshape(x, Shape([front, vec![Dim::Fixed(input), Dim::Fixed(inner)]].concat()))?;
    let product = b.matmul(weights, columns)?;
    b.reshape(product, resized)
}
