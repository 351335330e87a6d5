//! Rearranging, repeating and summing of blocks: ONNX `DepthToSpace`, `SpaceToDepth`, `Tile` and `Col2Im`.

use super::{invalid, refuse};
use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::op::conv::Conv;
use crate::op::conv_grad::ConvInputGrad;
use crate::op::window::Window;
use crate::tensor::Tensor;

type Built = Result<ValueId, GraphError>;

/// Order in which a channel index is split into row and column of a block and the remaining depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Depth, column, row: channel = (row · block + column) · left + depth.
    Dcr,
    /// Column, row, depth: channel = depth · block² + row · block + column.
    Crd,
}

/// Returns the sizes of an image N×C×H×W.
fn image(b: &Builder<'_>, x: ValueId, formula: &str) -> Result<(Dim, [usize; 3]), GraphError> {
    match b.shape(x).0[..] {
        [n, Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)] => Ok((n, [c, h, w])),
        _ => Err(invalid(formula, format!("expected N×C×H×W, found {}", b.shape(x)))),
    }
}

/// Returns the shape `n` followed by `dims`.
fn shape(n: Dim, dims: &[usize]) -> Shape {
    let mut shape = Shape::fixed(dims);
    shape.0.insert(0, n);
    shape
}

/// N×(C·block²)×H×W to N×C×(H·block)×(W·block): the channels of each pixel become a block of pixels.
///
/// # Errors
/// If `x` is not an image, or the number of channels is not divisible by block².
pub fn depth_to_space(b: &mut Builder<'_>, x: ValueId, block: usize, order: Order) -> Built {
    let (n, [c, h, w]) = image(b, x, "DepthToSpace")?;
    let area = block.checked_mul(block).filter(|&a| a > 0 && c.is_multiple_of(a));
    let left =
        c / area.ok_or_else(|| invalid("DepthToSpace", format!("{c} channels in blocks of {block}")))?;
    let (split, perm) = match order {
        Order::Dcr => ([block, block, left, h, w], [0, 3, 4, 1, 5, 2]),
        Order::Crd => ([left, block, block, h, w], [0, 1, 4, 2, 5, 3]),
    };
    let parts = b.reshape(x, shape(n, &split))?;
    let moved = b.transpose(parts, &perm)?;
    b.reshape(moved, shape(n, &[left, h * block, w * block]))
}

/// N×C×(H·block)×(W·block) to N×(C·block²)×H×W, the inverse of [`depth_to_space`].
///
/// # Errors
/// If `x` is not an image, or its height and width are not divisible by the block size.
pub fn space_to_depth(b: &mut Builder<'_>, x: ValueId, block: usize, order: Order) -> Built {
    let (n, [c, h, w]) = image(b, x, "SpaceToDepth")?;
    if block == 0 || !h.is_multiple_of(block) || !w.is_multiple_of(block) {
        return Err(invalid("SpaceToDepth", format!("{h}×{w} pixels in blocks of {block}")));
    }
    let parts = b.reshape(x, shape(n, &[c, h / block, block, w / block, block]))?;
    let perm = match order {
        Order::Dcr => [0, 3, 5, 1, 2, 4],
        Order::Crd => [0, 1, 3, 5, 2, 4],
    };
    let moved = b.transpose(parts, &perm)?;
    let channels = block.checked_mul(block).and_then(|area| area.checked_mul(c));
    let channels = channels.ok_or_else(|| invalid("SpaceToDepth", "sizes overflow"))?;
    b.reshape(moved, shape(n, &[channels, h / block, w / block]))
}

/// Repeats `x` as a whole `repeats[axis]` times along each axis: a b becomes a b a b.
///
/// # Errors
/// If there is not one number per axis, or the batch axis would be repeated.
pub fn tile(b: &mut Builder<'_>, x: ValueId, repeats: &[Dim]) -> Built {
    let old = b.shape(x);
    let misfit = || invalid("Tile", format!("{old} repeated {} times", Shape(repeats.to_vec())));
    if repeats.len() != old.rank() {
        return Err(misfit());
    }
    let (mut inner, mut wide, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for (&dim, &times) in old.0.iter().zip(repeats) {
        if times.is_one() {
            for dims in [&mut inner, &mut wide, &mut new] {
                dims.push(dim);
            }
            continue;
        }
        let Dim::Fixed(size) = dim else { return Err(misfit()) };
        inner.extend([Dim::Fixed(1), dim]);
        wide.extend([times, dim]);
        new.push(match times {
            Dim::Fixed(times) => Dim::Fixed(size.checked_mul(times).ok_or_else(misfit)?),
            Dim::Batch(times) => Dim::Batch(size.checked_mul(times).ok_or_else(misfit)?),
        });
    }
    let split = b.reshape(x, Shape(inner))?;
    let repeated = b.expand(split, Shape(wide))?;
    b.reshape(repeated, Shape(new))
}

/// Maximum number of elements of the kernels of [`col2im`].
const MOST_KERNEL_ELEMENTS: usize = 1 << 24;

/// N×(C·window)×windows to N×C×`image`: every column holds the elements of one window; overlapping windows are summed
/// (PyTorch's `fold`). Implemented as a transposed convolution with one-hot kernels.
///
/// # Errors
/// If the columns do not match the windows over such an image.
pub fn col2im(b: &mut Builder<'_>, x: ValueId, window: &Window, image: &[usize]) -> Built {
    let [n, Dim::Fixed(rows), Dim::Fixed(columns)] = b.shape(x).0[..] else {
        return Err(invalid("Col2Im", format!("expected N×(C·block)×windows, found {}", b.shape(x))));
    };
    let places = window.output_sizes(image, false).map_err(|e| refuse("Col2Im", e))?;
    let len = window.len();
    if places.iter().product::<usize>() != columns || !rows.is_multiple_of(len) {
        let found = format!("{rows}×{columns} for blocks of {:?} at {places:?} places", window.kernel);
        return Err(invalid("Col2Im", found));
    }
    if rows.checked_mul(len).is_none_or(|elements| elements > MOST_KERNEL_ELEMENTS) {
        return Err(invalid("Col2Im", format!("{rows} rows of blocks of {:?} are too many", window.kernel)));
    }
    let one_hot = (0..rows * len).map(|i| if i / len % len == i % len { 1.0 } else { 0.0 }).collect();
    let kernels = b.constant(Tensor::f32(&[&[rows, 1], &window.kernel[..]].concat(), one_hot));
    let windows = b.reshape(x, shape(n, &[&[rows], &places[..]].concat()))?;
    let conv = Conv { window: window.clone(), group: rows / len };
    b.apply(ConvInputGrad { conv, input: image.to_vec() }, &[windows, kernels])
}
