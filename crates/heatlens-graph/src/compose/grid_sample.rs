//! Sampling of an image at computed positions: ONNX `GridSample` and `AffineGrid`, in two dimensions.
//!
//! Along each axis a position is a row of weights, zero except at the neighbouring elements, so that sampling is two
//! products of matrices. The derivative at a position on an element is that towards the next element, as in PyTorch.
//! Like there, cubic interpolation pads its neighbours one by one; onnxruntime moves a position outside the image to the
//! border first, which differs within half an element behind the border.

use super::invalid;
use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::op::clip::Clip;
use crate::op::slice::Slice;
use crate::op::unary::UnaryFunction;
use crate::tensor::Tensor;

type Built = Result<ValueId, GraphError>;

/// Maximum number of elements of the product before its rows are summed.
const MOST: usize = 1 << 28;
/// Maximum number of positions of `AffineGrid`, which are stored as a constant.
const MOST_POSITIONS: usize = 1 << 22;

/// Interpolation between elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Between the four neighbours.
    Linear,
    /// The nearest element; a tie goes to the even one. No derivative with respect to the positions.
    Nearest,
    /// Among the sixteen neighbours: cubic convolution (Keys) with coefficient −0.75.
    Cubic,
}

/// Neighbours of a position along an axis for cubic interpolation: distance from the element below it, and weight as a
/// polynomial of the position's distance from that element, lowest power first.
const CUBIC: [(f32, [f32; 4]); 4] = [
    (-1.0, [0.0, -0.75, 1.5, -0.75]),
    (0.0, [1.0, 0.0, -2.25, 1.25]),
    (1.0, [0.0, 0.75, 1.5, -1.25]),
    (2.0, [0.0, 0.0, -0.75, 0.75]),
];

/// Value outside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// 0.
    Zeros,
    /// The nearest element of the border.
    Border,
    /// The image mirrored at its border.
    Reflection,
}

/// Attributes of `GridSample`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Interpolation between elements.
    pub interpolation: Interpolation,
    /// Value outside the image.
    pub padding: Padding,
    /// True if −1 and 1 are the centres of the outer elements, false if they are the edges of the image.
    pub align_corners: bool,
}

impl Sampling {
    /// Appends the positions along an axis of `size` elements, in elements from the first one, for `grid` from −1 to 1.
    fn positions(self, b: &mut Builder<'_>, grid: ValueId, size: usize) -> Built {
        let whole = number(size);
        let (scale, shift) = match self.align_corners {
            true => ((whole - 1.0) / 2.0, (whole - 1.0) / 2.0),
            false => (whole / 2.0, (whole - 1.0) / 2.0),
        };
        let scaled = b.scale(grid, scale)?;
        let shift = b.scalar(shift);
        b.add(scaled, shift)
    }

    /// Appends the positions that the padding gives the value at `at`; with zeros, those outside remain.
    fn padded(self, b: &mut Builder<'_>, mut at: ValueId, size: usize) -> Built {
        let whole = number(size);
        if self.padding == Padding::Reflection {
            let low = if self.align_corners { 0.0 } else { -0.5 };
            at = reflected(b, at, low, whole - 1.0 - low)?;
        }
        match self.padding {
            Padding::Zeros => Ok(at),
            Padding::Border | Padding::Reflection => b.apply(Clip { min: 0.0, max: whole - 1.0 }, &[at]),
        }
    }

    /// Appends the weights of the elements of an axis, N×P×`size`, for positions N×P×1.
    fn weights(self, b: &mut Builder<'_>, at: ValueId, size: usize) -> Built {
        let elements = b.constant(Tensor::f32(&[1, 1, size], (0..size).map(number).collect()));
        match self.interpolation {
            Interpolation::Nearest => {
                let nearest = b.unary(UnaryFunction::Round, at)?;
                let nearest = self.padded(b, nearest, size)?;
                is_element(b, nearest, elements)
            }
            Interpolation::Linear => {
                let at = self.padded(b, at, size)?;
                let (below, one) = (b.unary(UnaryFunction::Floor, at)?, b.scalar(1.0));
                let above = b.add(below, one)?;
                let share = b.sub(at, below)?;
                let rest = b.sub(one, share)?;
                let (below, above) = (is_element(b, below, elements)?, is_element(b, above, elements)?);
                let (below, above) = (b.mul(below, rest)?, b.mul(above, share)?);
                b.add(below, above)
            }
            Interpolation::Cubic => {
                let below = b.unary(UnaryFunction::Floor, at)?;
                let share = b.sub(at, below)?;
                let mut sum = b.scalar(0.0);
                for (distance, weight) in CUBIC {
                    let distance = b.scalar(distance);
                    let neighbour = b.add(below, distance)?;
                    let neighbour = self.padded(b, neighbour, size)?;
                    let neighbour = is_element(b, neighbour, elements)?;
                    let weight = polynomial(b, share, weight)?;
                    let weighted = b.mul(neighbour, weight)?;
                    sum = b.add(sum, weighted)?;
                }
                Ok(sum)
            }
        }
    }
}

/// Appends the value of a polynomial with coefficients from the lowest power on.
fn polynomial(b: &mut Builder<'_>, x: ValueId, [constant, linear, square, cube]: [f32; 4]) -> Built {
    let mut sum = b.scale(x, cube)?;
    for coefficient in [square, linear] {
        let coefficient = b.scalar(coefficient);
        sum = b.add(sum, coefficient)?;
        sum = b.mul(sum, x)?;
    }
    let constant = b.scalar(constant);
    b.add(sum, constant)
}

#[allow(clippy::cast_precision_loss)] // sizes are small
fn number(size: usize) -> f32 {
    size as f32
}

/// Appends 1 where a whole number is the number of the element, 0 elsewhere.
fn is_element(b: &mut Builder<'_>, at: ValueId, elements: ValueId) -> Built {
    let difference = b.sub(at, elements)?;
    let distance = b.unary(UnaryFunction::Abs, difference)?;
    let one = b.scalar(1.0);
    let closeness = b.sub(one, distance)?;
    b.relu(closeness)
}

/// Appends positions mirrored at `low` and `high` until they lie between them: high − |(x − low) mod 2·span − span|.
fn reflected(b: &mut Builder<'_>, at: ValueId, low: f32, high: f32) -> Built {
    let span = high - low;
    if span <= 0.0 {
        return b.scale(at, 0.0);
    }
    let (low, high, one_span) = (b.scalar(low), b.scalar(high), b.scalar(span));
    let from_low = b.sub(at, low)?;
    let turns = b.scale(from_low, 0.5 / span)?;
    let turns = b.unary(UnaryFunction::Floor, turns)?;
    let turns = b.scale(turns, 2.0 * span)?;
    let rest = b.sub(from_low, turns)?;
    let rest = b.sub(rest, one_span)?;
    let rest = b.unary(UnaryFunction::Abs, rest)?;
    b.sub(high, rest)
}

/// Appends the elements of `x` (N×C×H×W) at the positions `grid` (N×h×w×2: column and row, from −1 to 1), N×C×h×w.
///
/// # Errors
/// If the shapes do not fit or the result is too large.
pub fn grid_sample(b: &mut Builder<'_>, x: ValueId, grid: ValueId, sampling: Sampling) -> Built {
    let (from, to) = (b.shape(x), b.shape(grid));
    let misfit = || invalid("GridSample", format!("an image of {from} at positions of {to}"));
    let (&[n, Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)], &[m, Dim::Fixed(rows), Dim::Fixed(columns), two]) =
        (from.0.as_slice(), to.0.as_slice())
    else {
        return Err(misfit());
    };
    let places = rows.checked_mul(columns).ok_or_else(misfit)?;
    let elements = [c, h, places].iter().try_fold(1usize, |n, &size| n.checked_mul(size));
    if two != Dim::Fixed(2) || n != m || h == 0 || w == 0 || elements.is_none_or(|len| len > MOST) {
        return Err(misfit());
    }
    let shape =
        |dims: &[usize]| Shape(std::iter::once(n).chain(dims.iter().map(|&d| Dim::Fixed(d))).collect());
    let along = |b: &mut Builder<'_>, start, size| {
        let part = b.apply(Slice { axis: 3, start, len: 1, step: 1 }, &[grid])?;
        let part = b.reshape(part, shape(&[places, 1]))?;
        let at = sampling.positions(b, part, size)?;
        let weights = sampling.weights(b, at, size)?;
        b.transpose(weights, &[0, 2, 1])
    };
    let (across, down) = (along(b, 0, w)?, along(b, 1, h)?);
    let lines = b.reshape(x, shape(&[c * h, w]))?;
    let lines = b.matmul(lines, across)?;
    let lines = b.reshape(lines, shape(&[c, h, places]))?;
    let down = b.reshape(down, shape(&[1, h, places]))?;
    let weighted = b.mul(lines, down)?;
    let sampled = b.sum(weighted, &[2], false)?;
    b.reshape(sampled, shape(&[c, rows, columns]))
}

/// Appends the positions of an image of `rows`×`columns`, N×rows×columns×2, moved by `theta` (N×2×3).
///
/// # Errors
/// If the shape of `theta` does not fit or there are too many positions.
pub fn affine_grid(
    b: &mut Builder<'_>,
    theta: ValueId,
    [rows, columns]: [usize; 2],
    align_corners: bool,
) -> Built {
    let shape = b.shape(theta);
    let &[n, Dim::Fixed(2), Dim::Fixed(3)] = shape.0.as_slice() else {
        return Err(invalid("AffineGrid", format!("expected matrices N×2×3, found {shape}")));
    };
    let places = rows.checked_mul(columns).filter(|&places| places <= MOST_POSITIONS);
    let places = places.ok_or_else(|| {
        invalid("AffineGrid", format!("{rows}×{columns} positions; at most {MOST_POSITIONS} are supported"))
    })?;
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // rounded once, at the end
    let place = |i: usize, size: usize| {
        let (i, whole) = (i as f64, size as f64);
        (match (align_corners, size) {
            (true, 0 | 1) => 0.0,
            (true, _) => 2.0 * i / (whole - 1.0) - 1.0,
            (false, _) => (2.0 * i + 1.0) / whole - 1.0,
        }) as f32
    };
    let at = |i: usize| [place(i % columns, columns), place(i / columns, rows), 1.0];
    let base = b.constant(Tensor::f32(&[places, 3], (0..places).flat_map(at).collect()));
    let turned = b.transpose(theta, &[0, 2, 1])?;
    let moved = b.matmul(base, turned)?;
    b.reshape(moved, Shape(vec![n, Dim::Fixed(rows), Dim::Fixed(columns), Dim::Fixed(2)]))
}
