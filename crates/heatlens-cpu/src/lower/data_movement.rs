//! Operators that move elements without changing them.

use heatlens_graph::op::cast::Cast;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::expand::Expand;
use heatlens_graph::op::identity::Identity;
use heatlens_graph::op::pad::{Pad, Unslice};
use heatlens_graph::op::reshape::{Flatten, Reshape, Squeeze, Unsqueeze};
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::transpose::Transpose;
use heatlens_graph::{DType, Node, ValueId};

use crate::kernel::Workers;
use crate::kernel::broadcast::Broadcast;
use crate::lower::{Kernel, Lowering, Refusal, elementwise};

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    if renames(node) {
        return Some(lowering.input(node, 0).and_then(|x| lowering.alias(node, x)));
    }
    if let Some(cast) = Lowering::op::<Cast>(node) {
        return Some(lower_cast(lowering, node, *cast));
    }
    if let Some(transpose) = Lowering::op::<Transpose>(node) {
        let perm = transpose.perm.clone();
        return Some(lower_transpose(lowering, node, &perm));
    }
    if Lowering::op::<Expand>(node).is_some() {
        return Some(lower_expand(lowering, node));
    }
    if let Some(concat) = Lowering::op::<Concat>(node) {
        return Some(lower_concat(lowering, node, concat.axis));
    }
    lower_part(lowering, node)
}

/// True if the node's result has the elements of its input in the same order.
fn renames(node: &Node) -> bool {
    Lowering::op::<Reshape>(node).is_some()
        || Lowering::op::<Flatten>(node).is_some()
        || Lowering::op::<Squeeze>(node).is_some()
        || Lowering::op::<Unsqueeze>(node).is_some()
        || Lowering::op::<Identity>(node).is_some()
}

fn lower_cast(lowering: &mut Lowering<'_>, node: &Node, cast: Cast) -> Result<(), Refusal> {
    let x = lowering.input(node, 0)?;
    match (lowering.graph.fact(x).dtype, cast.to) {
        // Masks are stored as ones and zeros already.
        (DType::F32 | DType::Bool, DType::F32) | (DType::Bool, DType::Bool) => lowering.alias(node, x),
        (from, to) => Err(format!("a cast from {from:?} to {to:?} of computed values is not supported")),
    }
}

/// Copy from a strided input to a dense output.
#[derive(Debug)]
struct StridedCopy {
    walk: Broadcast<1>,
}

impl Kernel for StridedCopy {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        /// Elements per task.
        const TASK: usize = 1 << 13;
        workers.for_each_chunk(y, TASK, |i, y| self.walk.gather_from(inputs[0], i * TASK, y));
    }
}

fn lower_expand(lowering: &mut Lowering<'_>, node: &Node) -> Result<(), Refusal> {
    if elementwise::all_see_through(lowering, node) {
        return Ok(());
    }
    let x = lowering.input(node, 0)?;
    let (from, to) = (lowering.shape(x), lowering.shape(node.outputs[0]));
    lowering.push(node, &[x], StridedCopy { walk: Broadcast::new(&to, [&from]) })
}

fn lower_transpose(lowering: &mut Lowering<'_>, node: &Node, perm: &[usize]) -> Result<(), Refusal> {
    let x = lowering.input(node, 0)?;
    let shape = lowering.shape(x);
    // Axes of size 1 can be moved without moving elements.
    let moving: Vec<usize> = perm.iter().copied().filter(|&p| shape[p] != 1).collect();
    if moving.is_sorted() {
        return lowering.alias(node, x);
    }
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    let sizes: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
    let strides: Vec<usize> = perm.iter().map(|&p| strides[p]).collect();
    lowering.push(node, &[x], StridedCopy { walk: Broadcast::with_strides(&sizes, &strides) })
}

/// Contiguous runs of elements: (start in the input, start in the output), `len` each.
#[derive(Debug)]
struct CopyRuns {
    runs: Runs,
    len: usize,
    /// Value of the other elements of the output; `None` if the runs fill it.
    background: Option<f32>,
}

impl Kernel for CopyRuns {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], _: Workers) {
        if let Some(value) = self.background {
            y.fill(value);
        }
        self.runs.for_each(self.len, |from, to| {
            y[to..to + self.len].copy_from_slice(&inputs[0][from..from + self.len]);
        });
    }
}

/// Starts of runs in the input and in the output.
#[derive(Debug)]
enum Runs {
    /// Listed: a run is a row, and few beside its elements.
    Listed(Vec<(usize, usize)>),
    /// Walked: runs may be of one element.
    Sliced {
        slice: Slice,
        /// Number of repetitions of the slice.
        outer: usize,
        /// Size of the sliced axis.
        size: usize,
        /// From the part to the whole.
        back: bool,
    },
}

impl Runs {
    fn for_each(&self, len: usize, mut visit: impl FnMut(usize, usize)) {
        match self {
            Self::Listed(runs) => runs.iter().for_each(|&(from, to)| visit(from, to)),
            Self::Sliced { slice, outer, size, back } => {
                for o in 0..*outer {
                    for i in 0..slice.len {
                        let whole = (o * size + slice.start + i * slice.step) * len;
                        let part = (o * slice.len + i) * len;
                        if *back { visit(part, whole) } else { visit(whole, part) }
                    }
                }
            }
        }
    }
}

fn lower_part(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    let part = |lowering: &Lowering<'_>, x: ValueId| -> Option<CopyRuns> {
        let (from, to) = (lowering.shape(x), lowering.shape(node.outputs[0]));
        if let Some(slice) = Lowering::op::<Slice>(node) {
            return Some(slice_runs(slice, &from, None));
        }
        if let Some(unslice) = Lowering::op::<Unslice>(node) {
            return Some(slice_runs(&unslice.slice, &to, Some(0.0)));
        }
        Lowering::op::<Pad>(node).map(|pad| pad_runs(pad, &from, &to))
    };
    let x = lowering.input(node, 0).ok()?;
    let kernel = part(lowering, x)?;
    Some(lowering.push(node, &[x], kernel))
}

/// The runs of a slice; with a background, of what puts the slice back.
fn slice_runs(slice: &Slice, whole: &[usize], background: Option<f32>) -> CopyRuns {
    let len: usize = whole[slice.axis + 1..].iter().product();
    let outer: usize = whole[..slice.axis].iter().product();
    let runs = Runs::Sliced { slice: *slice, outer, size: whole[slice.axis], back: background.is_some() };
    CopyRuns { runs, len, background }
}

fn pad_runs(pad: &Pad, from: &[usize], to: &[usize]) -> CopyRuns {
    let len = from.last().copied().unwrap_or(1);
    let rows: usize = from.iter().rev().skip(1).product();
    let start = |row: usize| {
        let (mut at, mut rest, mut step) =
            (pad.begin.last().copied().unwrap_or(0), row, to.last().copied().unwrap_or(1));
        for axis in (0..from.len().saturating_sub(1)).rev() {
            at += (rest % from[axis] + pad.begin[axis]) * step;
            rest /= from[axis];
            step *= to[axis];
        }
        at
    };
    CopyRuns {
        runs: Runs::Listed((0..rows).map(|row| (row * len, start(row))).collect()),
        len,
        background: Some(pad.value),
    }
}

/// Concatenation: for each outer index, one run of every input.
#[derive(Debug)]
struct Join {
    outer: usize,
}

impl Kernel for Join {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        /// Elements per task.
        const TASK: usize = 1 << 15;
        let lens: Vec<usize> = inputs.iter().map(|x| x.len() / self.outer.max(1)).collect();
        let block = lens.iter().sum::<usize>();
        if block == 0 {
            return;
        }
        workers.for_each_chunk(y, TASK, |task, y| {
            // The part of the output in y is copied run by run; the first and last run may be partial.
            let (mut outer, mut skipped) = (task * TASK / block, task * TASK % block);
            let mut y = y;
            while !y.is_empty() {
                for (x, &len) in inputs.iter().zip(&lens) {
                    let from = skipped.min(len);
                    let count = (len - from).min(y.len());
                    let (own, rest) = std::mem::take(&mut y).split_at_mut(count);
                    own.copy_from_slice(&x[outer * len + from..][..count]);
                    y = rest;
                    skipped -= from;
                }
                outer += 1;
            }
        });
    }
}

fn lower_concat(lowering: &mut Lowering<'_>, node: &Node, axis: i64) -> Result<(), Refusal> {
    let inputs: Vec<ValueId> =
        (0..node.inputs.len()).map(|i| lowering.input(node, i)).collect::<Result<_, _>>()?;
    let fact = lowering.graph.fact(node.outputs[0]);
    let axis = fact.shape.axis(axis).ok_or_else(|| format!("axis {axis} of {}", fact.shape))?;
    let outer = lowering.shape(node.outputs[0])[..axis].iter().product();
    lowering.push(node, &inputs, Join { outer })
}
