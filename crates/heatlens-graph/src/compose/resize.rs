//! Resizing: ONNX `Resize` and `Upsample`, one axis at a time.
//!
//! Interpolation is linear in the image, so along one axis it is a product with a matrix whose row `o` holds the weights of the
//! input elements that output element `o` is made of. The row depends on where `o` falls in the input ([`Coordinates`]) and on the
//! kernel that spreads it over its neighbours ([`Mode`]). A row is mostly zeros: of long axes only the others are kept ([`Taps`]).

use super::invalid;
use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::op::gather::Gather;
use crate::tensor::Tensor;

/// Larger matrices are refused, and so are more taps: no image has sides that need them.
const MAX_MATRIX: usize = 1 << 24;
/// Axes that need a larger matrix are resized by their [`Taps`]. A product with a small matrix is faster.
const MAX_PRODUCT: usize = 1 << 20;

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

impl Resampling {
    /// By how much the kernel widens.
    fn shrink(&self, scale: f64) -> f64 {
        if self.antialias { scale.min(1.0) } else { 1.0 }
    }

    /// How many elements an element of the output is made of, at most.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn taps(&self, scale: f64) -> usize {
        // Infinity becomes the largest number.
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

/// For each element of an axis' output, the elements of the input that it is made of, and how much of each.
///
/// What a [`matrix`] says with mostly zeros: a bilinear enlargement has two taps for each element of the output, whatever the
/// size of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    input: usize,
    output: usize,
    /// For each rank among an element's taps, the places in the input, and the weights.
    ranks: Vec<(Vec<usize>, Vec<f32>)>,
}

impl Taps {
    /// Taps by element of the output: places in an input of `input` elements, and weights.
    ///
    /// # Errors
    /// If a place lies outside, or the output is empty.
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

    /// The taps of an axis resized by a ratio of `scale`, which `output` may have rounded.
    ///
    /// # Errors
    /// If an axis is empty, or the scale is not a positive number.
    pub fn of(resampling: &Resampling, input: usize, output: usize, scale: f64) -> Result<Self, GraphError> {
        Self::new(input, &rows(resampling, input, output, scale)?)
    }
}

/// `x` with `axis` made of the elements and weights that `taps` lists: one gathering, product and sum for each tap of an
/// element, and memory in proportion to the output.
///
/// # Errors
/// If the sizes do not fit, or the axis is the batch.
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

/// The interpolation matrix (`output` × `input`) of an axis. `scale` is the wanted ratio of the sizes, which `output` may have rounded.
///
/// # Errors
/// If an axis is empty, the scale is not a positive number, or the matrix would be unreasonably large.
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

/// For each element of the output, the elements of the input with a weight.
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

/// The weights of the elements around `centre`, of `size` elements.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn row(resampling: &Resampling, centre: f64, scale: f64, size: usize) -> Vec<(usize, f32)> {
    let shrink = resampling.shrink(scale);
    // No wider than the axis on both sides: beyond, all is the edge. This bounds the loop.
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

/// `x` with `axis` resized to `output` elements; `scale` is the wanted ratio of the sizes, which `output` may have rounded.
///
/// # Errors
/// If the axis is empty or the batch, the scale is not a positive number, or the axis is unreasonably long.
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
