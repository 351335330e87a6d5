//! Pooling of known regions of an image: ONNX `RoiAlign`.
//!
//! A region is divided into bins, and each bin into a grid of samples, which are interpolated linearly. The weight of an
//! element is that of its row times that of its column, so the mean over a bin is two products of matrices. The maximum
//! is taken over the weighted elements before they are added up to samples, as in onnxruntime.

use super::{invalid, refuse};
use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::op::gather::Gather;
use crate::op::reduce::ReduceFunction;
use crate::tensor::Tensor;

type Built = Result<ValueId, GraphError>;

/// Maximum number of elements of an intermediate result.
const MOST: usize = 1 << 28;
/// Maximum number of stored weights, and of samples along an axis of all regions.
const MOST_STORED: usize = 1 << 22;

/// Combination of the samples of a bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinPooling {
    /// Mean.
    Mean,
    /// Maximum of the weighted elements.
    Max,
}

/// A region: left, top, right and bottom, in units of the image.
pub type Region = [f32; 4];

/// Attributes of `RoiAlign`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiAlign {
    /// Combination of the samples of a bin.
    pub pooling: BinPooling,
    /// Number of bins: rows and columns.
    pub bins: [usize; 2],
    /// Samples of a bin along each axis; as many as it has elements, rounded up, if `None`.
    pub samples: Option<usize>,
    /// Number of elements per unit of the regions.
    pub scale: f32,
    /// True if the first element lies at 0.5; otherwise at 0, and regions are at least one element long.
    pub half_pixel: bool,
}

/// Samples of a region along an axis.
#[derive(Clone, Copy, Debug)]
struct Side {
    start: f32,
    /// Size of a bin in elements.
    bin: f32,
    /// Samples of a bin.
    samples: usize,
}

/// An element of an axis with its weight.
type Tap = (usize, f32);

impl Side {
    /// Returns the neighbours of a sample on an axis of `size` elements; `None` outside of it.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // single precision as in the runtimes; positions are clamped to the axis
    fn taps(self, bin: usize, sample: usize, size: usize) -> Option<[Tap; 2]> {
        let inside = (sample as f32 + 0.5) * self.bin / self.samples as f32;
        let at = self.start + bin as f32 * self.bin + inside;
        if !(-1.0..=size as f32).contains(&at) {
            return None;
        }
        let (at, last) = (at.max(0.0), size - 1);
        let low = (at as usize).min(last);
        let share = if low < last { at - low as f32 } else { 0.0 };
        Some([(low, 1.0 - share), ((low + 1).min(last), share)])
    }
}

impl RoiAlign {
    /// Returns the samples between two sides of a region.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a size that is negative has no samples; large ones are refused
    fn side(&self, from: f32, to: f32, bins: usize) -> Side {
        let shift = if self.half_pixel { 0.5 } else { 0.0 };
        let (start, end) = (from * self.scale - shift, to * self.scale - shift);
        let size = if self.half_pixel { end - start } else { (end - start).max(1.0) };
        let bin = size / bins as f32;
        Side { start, bin, samples: self.samples.unwrap_or(bin.ceil() as usize) }
    }

    /// Returns the samples along rows and columns of each region.
    fn sides(&self, regions: &[Region]) -> Result<Vec<[Side; 2]>, GraphError> {
        let [rows, columns] = self.bins;
        let side = |&[left, top, right, bottom]: &Region| {
            [self.side(top, bottom, rows), self.side(left, right, columns)]
        };
        let sides: Vec<[Side; 2]> = regions.iter().map(side).collect();
        if sides.iter().flatten().any(|side| !side.start.is_finite() || !side.bin.is_finite()) {
            return Err(invalid("RoiAlign", "expected regions of finite numbers"));
        }
        let along = |k: usize| sum(sides.iter().map(|side| side[k].samples.checked_mul(self.bins[k])));
        if [along(0), along(1)].iter().any(|n| n.is_none_or(|n| n > MOST_STORED)) {
            let what = format!("regions with more than {MOST_STORED} samples along an axis");
            return Err(refuse("RoiAlign", OpError::Unsupported(what)));
        }
        Ok(sides)
    }
}

fn sum(mut numbers: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    numbers.try_fold(0usize, |sum, n| sum.checked_add(n?))
}

/// Returns the product of some sizes if it is at most `most`.
fn product(sizes: &[usize], most: usize) -> Result<usize, GraphError> {
    let product = sizes.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).filter(|&n| n <= most);
    product.ok_or_else(|| {
        let what = format!("pooling of regions with {sizes:?} numbers (more than {most})");
        refuse("RoiAlign", OpError::Unsupported(what))
    })
}

/// An image with the samples of its regions.
struct Regions<'a> {
    how: &'a RoiAlign,
    sides: Vec<[Side; 2]>,
    x: ValueId,
    /// First axis of the image.
    n: Dim,
    /// Channels, rows and columns of the image.
    image: [usize; 3],
}

/// Appends the pooled regions of `x` (1×C×H×W or N×C×H×W) one after the other, R×C×`bins`; R regions for each sample.
///
/// # Errors
/// If the shape does not fit, there is no region, a region is not finite, or the result is too large.
pub fn roi_align(b: &mut Builder<'_>, x: ValueId, regions: &[Region], how: &RoiAlign) -> Built {
    let shape = b.shape(x);
    let &[n @ (Dim::Fixed(1) | Dim::Batch(1)), Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)] =
        shape.0.as_slice()
    else {
        return Err(invalid("RoiAlign", format!("expected an image 1×C×H×W, found {shape}")));
    };
    let [rows, columns] = how.bins;
    if regions.is_empty() || [h, w, rows, columns, how.samples.unwrap_or(1)].contains(&0) {
        let what = format!("{} regions in {rows}×{columns} bins of an image of {shape}", regions.len());
        return Err(invalid("RoiAlign", what));
    }
    product(&[regions.len(), c, rows, columns], MOST)?;
    let pooled = Regions { how, sides: how.sides(regions)?, x, n, image: [c, h, w] };
    let pooled = match how.pooling {
        BinPooling::Mean => pooled.mean(b)?,
        BinPooling::Max => pooled.max(b)?,
    };
    // N×R×C×rows×columns.
    let all = match n {
        Dim::Batch(_) => Dim::Batch(regions.len()),
        Dim::Fixed(_) => Dim::Fixed(regions.len()),
    };
    b.reshape(pooled, Shape(vec![all, Dim::Fixed(c), Dim::Fixed(rows), Dim::Fixed(columns)]))
}

impl Regions<'_> {
    fn shape(&self, dims: &[usize]) -> Shape {
        Shape(std::iter::once(self.n).chain(dims.iter().map(|&d| Dim::Fixed(d))).collect())
    }

    /// Returns the weights of the elements along rows (0) or columns (1) for each bin of each region: regions × bins ×
    /// elements.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // rounded once, at the end
    fn weights(&self, axis: usize) -> Result<Vec<f32>, GraphError> {
        let (bins, size) = (self.how.bins[axis], self.image[axis + 1]);
        let mut weights = vec![0.0f64; product(&[self.sides.len(), bins, size], MOST_STORED)?];
        let mut elements = weights.chunks_exact_mut(size);
        for side in self.sides.iter().map(|side| side[axis]) {
            for (bin, weights) in elements.by_ref().take(bins).enumerate() {
                for (place, weight) in (0..side.samples).filter_map(|i| side.taps(bin, i, size)).flatten() {
                    weights[place] += f64::from(weight) / side.samples as f64;
                }
            }
        }
        Ok(weights.into_iter().map(|weight| weight as f32).collect())
    }

    fn mean(&self, b: &mut Builder<'_>) -> Built {
        let ([c, h, w], [rows, columns], count) = (self.image, self.how.bins, self.sides.len());
        product(&[c, h, count, columns], MOST)?;
        let down = b.constant(Tensor::f32(&[count, rows, h], self.weights(0)?));
        let across = b.constant(Tensor::f32(&[count * columns, w], self.weights(1)?));
        let across = b.transpose(across, &[1, 0])?;
        let lines = b.reshape(self.x, self.shape(&[c * h, w]))?;
        let lines = b.matmul(lines, across)?;
        let lines = b.reshape(lines, self.shape(&[c, h, count, columns]))?;
        let lines = b.transpose(lines, &[0, 3, 2, 1, 4])?;
        let lines = b.reshape(lines, self.shape(&[count, h, c * columns]))?;
        let pooled = b.matmul(down, lines)?;
        let pooled = b.reshape(pooled, self.shape(&[count, rows, c, columns]))?;
        b.transpose(pooled, &[0, 1, 3, 2, 4])
    }

    /// Returns the elements of a bin with their weights, four for each sample; weight 0 for samples outside the image.
    fn elements(&self, [down, across]: [Side; 2], [row, column]: [usize; 2]) -> Vec<Tap> {
        let [_, h, w] = self.image;
        let mut taps = Vec::with_capacity(4 * down.samples * across.samples);
        for i in 0..down.samples {
            for j in 0..across.samples {
                let (Some(down), Some(across)) = (down.taps(row, i, h), across.taps(column, j, w)) else {
                    taps.push((0, 0.0));
                    continue;
                };
                taps.extend(down.iter().flat_map(|&(y, v)| across.map(|(x, u)| (y * w + x, v * u))));
            }
        }
        taps
    }

    fn max(&self, b: &mut Builder<'_>) -> Built {
        let ([c, h, w], [rows, columns], count) = (self.image, self.how.bins, self.sides.len());
        let most = |[down, across]: &[Side; 2]| down.samples.saturating_mul(across.samples).saturating_mul(4);
        let each = self.sides.iter().map(most).max().unwrap_or(0).max(1);
        let len = product(&[count, rows, columns, each], MOST_STORED)?;
        product(&[c, len], MOST)?;
        let (mut places, mut weights) = (Vec::with_capacity(len), Vec::with_capacity(len));
        for &side in &self.sides {
            for bin in 0..rows * columns {
                let mut taps = self.elements(side, [bin / columns, bin % columns]);
                // Repeated elements do not change the maximum. A bin without samples is 0.
                taps.resize(each, taps.first().copied().unwrap_or((0, 0.0)));
                places.extend(taps.iter().map(|tap| tap.0));
                weights.extend(taps.iter().map(|tap| tap.1));
            }
        }
        let shape = vec![count, rows * columns, each];
        let weights = b.constant(Tensor::f32(&shape, weights));
        let flat = b.reshape(self.x, self.shape(&[c, h * w]))?;
        let chosen = b.apply(Gather { axis: 2, indices: places.into(), shape }, &[flat])?;
        let weighted = b.mul(chosen, weights)?;
        let pooled = b.reduce(ReduceFunction::Max, weighted, &[4], false)?;
        b.transpose(pooled, &[0, 2, 1, 3])
    }
}
