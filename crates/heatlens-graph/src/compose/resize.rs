//! Resizing: ONNX `Resize` and `Upsample`, one axis at a time.
//!
//! Interpolation is linear in the image, so along one axis it is a product with a matrix whose row `o` holds the
//! weights of the input elements for output element `o`. The row depends on the position of `o` in the input
//! ([`Coordinates`]) and on the interpolation kernel ([`Mode`]). Rows are mostly zeros, so for long axes only the
//! non-zero weights are stored ([`Taps`]).

use super::invalid;
use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::op::gather::Gather;
use crate::tensor::Tensor;

/// Maximum number of elements of a matrix, and maximum number of taps: enough for any practical image.
const MAX_MATRIX: usize = 1 << 24;
/// Maximum number of matrix elements for resizing by a matrix product, which is faster when small; longer axes use
/// [`Taps`].
const MAX_PRODUCT: usize = 1 << 20;

/// Choice of the nearest element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The nearer one; the lower one if halfway.
    PreferFloor,
    /// The nearer one; the higher one if halfway.
    PreferCeil,
    /// The lower one.
    Floor,
    /// The higher one.
    Ceil,
}

/// Interpolation kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Nearest neighbour.
    Nearest(Rounding),
    /// Linear interpolation of two neighbours.
    Linear,
    /// Cubic convolution (Keys) of four neighbours with the given coefficient (−0.75 in PyTorch, −0.5 in TensorFlow).
    Cubic {
        /// Coefficient.
        a: f32,
    },
}

/// Position of output element `o` in the input (ONNX's `coordinate_transformation_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// (o + 0.5) ÷ scale − 0.5.
    HalfPixel,
    /// Like `HalfPixel`, but centred on the output if its size was rounded.
    HalfPixelSymmetric,
    /// Like `HalfPixel`, but 0 if the output has one element.
    PytorchHalfPixel,
    /// Aligns the first and last elements of input and output.
    AlignCorners,
    /// o ÷ scale.
    Asymmetric,
    /// (o + 0.5) ÷ scale; in operator sets 11 and 12 only.
    TfHalfPixelForNn,
}

/// Parameters of resizing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampling {
    /// Interpolation kernel.
    pub mode: Mode,
    /// Position of output elements in the input.
    pub coordinates: Coordinates,
    /// True if neighbours outside the input have weight 0; otherwise they repeat the edge element.
    pub exclude_outside: bool,
    /// True if the kernel is widened when downsampling, so that every input element is used.
    pub antialias: bool,
}

impl Coordinates {
    /// Returns the position of element `o` of `output` elements in an axis of `input` elements.
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

/// Rounds to single precision. `scale` is rounded, so a quotient may miss an integer by a rounding error, which would
/// change the nearest element.
#[allow(clippy::cast_possible_truncation)]
fn without_rounding_error(x: f64) -> f64 {
    f64::from(x as f32)
}

impl Mode {
    /// Returns the kernel's weight at distance `t`.
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

    /// Returns the radius of the kernel.
    fn reach(self) -> f64 {
        match self {
            Self::Nearest(_) => 0.0,
            Self::Linear => 1.0,
            Self::Cubic { .. } => 2.0,
        }
    }
}

impl Resampling {
    /// Returns the factor by which distances shrink when the kernel is widened.
    fn shrink(&self, scale: f64) -> f64 {
        if self.antialias { scale.min(1.0) } else { 1.0 }
    }

    /// Returns the maximum number of taps per output element.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn taps(&self, scale: f64) -> usize {
        // The cast turns infinity into the largest integer.
        ((2.0 * self.mode.reach() / self.shrink(scale)) as usize).saturating_add(1)
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

/// Returns the nearest input element for each output element.
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

/// Clamps a position to the axis.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn inside(x: f64, size: usize) -> usize {
    x.clamp(0.0, size.saturating_sub(1) as f64) as usize // NaN becomes 0
}

/// Resizes `axis` of `x` to the elements at `places`, as returned by [`nearest`]; needs no product.
///
/// # Errors
/// If a position is out of range, or the axis is the batch axis.
pub fn choose(
    b: &mut Builder<'_>,
    x: ValueId,
    axis: usize,
    places: Vec<usize>,
) -> Result<ValueId, GraphError> {
    let shape = vec![places.len()];
    b.apply(Gather { axis, indices: places.into(), shape }, &[x])
}

/// Input elements and weights for each output element along an axis.
///
/// Sparse form of a [`matrix`]: bilinear upsampling has two taps per output element, whatever the size of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    input: usize,
    output: usize,
    /// Positions in the input and weights: one pair of lists for the first tap of every output element, one for the
    /// second, and so on.
    ranks: Vec<(Vec<usize>, Vec<f32>)>,
}

impl Taps {
    /// Creates taps from one list per output element: positions in an input of `input` elements, with weights.
    ///
    /// # Errors
    /// If a position is out of range, or the output is empty.
    pub fn new(input: usize, rows: &[Vec<(usize, f32)>]) -> Result<Self, GraphError> {
        let most = rows.iter().map(Vec::len).max().unwrap_or(0);
        if let Some(place) = rows.iter().flatten().map(|tap| tap.0).find(|&place| place >= input) {
            return Err(invalid("Resize", format!("place {place} of an axis of {input} elements")));
        }
        if input == 0 || most == 0 {
            return Err(invalid("Resize", format!("{input} elements to {}", rows.len())));
        }
        let rank = |k: usize| rows.iter().map(|row| row.get(k).copied().unwrap_or((0, 0.0))).unzip();
        Ok(Self { input, output: rows.len(), ranks: (0..most).map(rank).collect() })
    }

    /// Returns the taps for resizing an axis by a factor of `scale`; `output` may be rounded.
    ///
    /// # Errors
    /// If an axis is empty, or the scale is not a positive number.
    pub fn of(resampling: &Resampling, input: usize, output: usize, scale: f64) -> Result<Self, GraphError> {
        Self::new(input, &rows(resampling, input, output, scale)?)
    }
}

/// Resizes `axis` of `x` by the elements and weights in `taps`: one gather, product and sum per tap, with memory
/// proportional to the output.
///
/// # Errors
/// If the sizes do not fit, or the axis is the batch axis.
pub fn interpolate(b: &mut Builder<'_>, x: ValueId, axis: usize, taps: &Taps) -> Result<ValueId, GraphError> {
    let shape = b.shape(x);
    match shape.0.get(axis) {
        Some(&Dim::Fixed(size)) if size == taps.input => {}
        _ => {
            return Err(invalid(
                "Resize",
                format!("taps in {} elements along axis {axis} of {shape}", taps.input),
            ));
        }
    }
    let mut wide = vec![1; shape.rank() - axis];
    wide[0] = taps.output;
    let mut sum = None;
    for (places, weights) in &taps.ranks {
        let chosen = choose(b, x, axis, places.clone())?;
        let weights = b.constant(Tensor::f32(&wide, weights.clone()));
        let term = b.mul(chosen, weights)?;
        sum = Some(match sum {
            Some(sum) => b.add(sum, term)?,
            None => term,
        });
    }
    sum.ok_or_else(|| invalid("Resize", format!("axis {axis} of {shape} to nothing")))
}

/// Returns the interpolation matrix (`output` × `input`) of an axis. `scale` is the exact ratio of the sizes; `output`
/// may be rounded.
///
/// # Errors
/// If an axis is empty, the scale is not a positive number, or the matrix would be too large.
pub fn matrix(
    resampling: &Resampling,
    input: usize,
    output: usize,
    scale: f64,
) -> Result<Tensor, GraphError> {
    let Some(elements) = input.checked_mul(output).filter(|&n| n <= MAX_MATRIX) else {
        return Err(invalid("Resize", format!("{input} elements to {output} by a matrix")));
    };
    let mut values = vec![0.0f32; elements];
    let rows = rows(resampling, input, output, scale)?;
    for (row, taps) in values.chunks_exact_mut(input).zip(rows) {
        taps.into_iter().for_each(|(place, weight)| row[place] = weight);
    }
    Ok(Tensor::f32(&[output, input], values))
}

/// Returns the input elements and weights for each output element.
fn rows(
    resampling: &Resampling,
    input: usize,
    output: usize,
    scale: f64,
) -> Result<Vec<Vec<(usize, f32)>>, GraphError> {
    if input == 0 || !scale.is_finite() || scale <= 0.0 {
        return Err(invalid("Resize", format!("{input} elements to {output} by a scale of {scale}")));
    }
    if output.saturating_mul(resampling.taps(scale).min(input)) > MAX_MATRIX {
        return Err(invalid("Resize", format!("{input} elements to {output}, each made of many")));
    }
    if let Mode::Nearest(rounding) = resampling.mode {
        let chosen = nearest(rounding, resampling.coordinates, input, output, scale);
        return Ok(chosen.into_iter().map(|place| vec![(place, 1.0)]).collect());
    }
    let centre = |o| resampling.coordinates.at(o, input, output, scale);
    Ok((0..output).map(|o| row(resampling, centre(o), scale, input)).collect())
}

/// Returns the weights of the elements around `centre`, in an axis of `size` elements.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn row(resampling: &Resampling, centre: f64, scale: f64, size: usize) -> Vec<(usize, f32)> {
    let shrink = resampling.shrink(scale);
    // The radius is bounded: beyond the axis, all elements repeat the edge. This bounds the loop.
    let reach = (resampling.mode.reach() / shrink).min(4.0 * size as f64 + 4.0);
    let centre = centre.clamp(-(size as f64) - 4.0, 2.0 * size as f64 + 4.0);
    let mut weights: Vec<(usize, f64)> = Vec::new();
    let mut position = (centre - reach).ceil();
    while position <= centre + reach {
        let outside = position < 0.0 || position > (size - 1) as f64;
        if !(outside && resampling.exclude_outside) {
            let (place, weight) =
                (inside(position, size), resampling.mode.weight((position - centre) * shrink));
            match weights.last_mut().filter(|last| last.0 == place) {
                Some(last) => last.1 += weight,
                None => weights.push((place, weight)),
            }
        }
        position += 1.0;
    }
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
    if sum == 0.0 {
        return Vec::new();
    }
    weights.into_iter().map(|(place, weight)| (place, (weight / sum) as f32)).collect()
}

/// Resizes `axis` of `x` to `output` elements. `scale` is the exact ratio of the sizes; `output` may be rounded.
///
/// # Errors
/// If the axis is empty or the batch axis, the scale is not a positive number, or the axis is too long.
pub fn resample(
    b: &mut Builder<'_>,
    x: ValueId,
    axis: usize,
    resampling: &Resampling,
    output: usize,
    scale: f64,
) -> Result<ValueId, GraphError> {
    let shape = b.shape(x);
    let Some(&Dim::Fixed(input)) = shape.0.get(axis) else {
        return Err(invalid("Resize", format!("axis {axis} of {shape}")));
    };
    if let Mode::Nearest(rounding) = resampling.mode {
        return choose(b, x, axis, nearest(rounding, resampling.coordinates, input, output, scale));
    }
    if input.checked_mul(output).is_some_and(|elements| elements <= MAX_PRODUCT) {
        return resize(b, x, axis, &matrix(resampling, input, output, scale)?);
    }
    interpolate(b, x, axis, &Taps::of(resampling, input, output, scale)?)
}

/// Multiplies `axis` of `x` with a matrix (new size × old size) as returned by [`matrix`].
///
/// # Errors
/// If the sizes do not fit, or the axis is the batch axis.
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
        // The axis is the last one: multiply rows by the transposed matrix.
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
