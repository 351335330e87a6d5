//! Layer normalisation and its gradient.

use heatlens_graph::op::layer_normalization::{LayerNormalization, LayerNormalizationGrad};
use heatlens_graph::{Node, ValueId};

use crate::kernel::Workers;
use crate::kernel::broadcast::Broadcast;
use crate::kernel::layer_normalization::{self, Affine};
use crate::lower::{Kernel, Lowering, Refusal};

/// Elements per task: some microseconds of work.
const TASK: usize = 1 << 13;

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    if let Some(grad) = Lowering::op::<LayerNormalizationGrad>(node) {
        return Some(lower_gradient(lowering, node, grad.normalization));
    }
    let op = *Lowering::op::<LayerNormalization>(node)?;
    Some(lower_forward(lowering, node, op))
}

/// Returns the number of elements of a normalised row.
fn row(lowering: &Lowering<'_>, x: ValueId, op: LayerNormalization) -> Result<usize, Refusal> {
    let axis = op.axis_of(&lowering.graph.fact(x).shape).map_err(|e| e.to_string())?;
    Ok(lowering.shape(x)[axis..].iter().product::<usize>().max(1))
}

fn lower_forward(lowering: &mut Lowering<'_>, node: &Node, op: LayerNormalization) -> Result<(), Refusal> {
    let x = lowering.input(node, 0)?;
    let shape = lowering.shape(x);
    let mut inputs = vec![x];
    let mut parts = [1, 2].map(|position| {
        let part = lowering.input(node, position).ok()?;
        inputs.push(part);
        Some(Broadcast::new(&shape, [&lowering.shape(part)]))
    });
    let (scale, bias) = (parts[0].take(), parts[1].take());
    let size = row(lowering, x, op)?;
    let axis = op.axis_of(&lowering.graph.fact(x).shape).map_err(|e| e.to_string())?;
    let is_row = |&part: &ValueId| {
        lowering.shape(part).iter().skip_while(|&&d| d == 1).eq(shape[axis..].iter().skip_while(|&&d| d == 1))
    };
    let shared = inputs[1..].iter().all(is_row);
    let kernel = Normalize { size, epsilon: op.epsilon, scale, bias, shared };
    lowering.push(node, &inputs, kernel)
}

fn lower_gradient(lowering: &mut Lowering<'_>, node: &Node, op: LayerNormalization) -> Result<(), Refusal> {
    let (x, dy) = (lowering.input(node, 0)?, lowering.input(node, 1)?);
    let kernel = Gradient { size: row(lowering, x, op)?, epsilon: op.epsilon };
    lowering.push(node, &[x, dy], kernel)
}

/// Inputs: x, then scale and bias if present.
#[derive(Debug)]
struct Normalize {
    size: usize,
    epsilon: f32,
    scale: Option<Broadcast<1>>,
    bias: Option<Broadcast<1>>,
    /// True if all rows share one scale and one bias, with a value for each of their elements.
    shared: bool,
}

impl Kernel for Normalize {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        let mut rest = inputs[1..].iter().copied();
        let scale = self.scale.as_ref().and_then(|walk| Some((walk, rest.next()?)));
        let bias = self.bias.as_ref().and_then(|walk| Some((walk, rest.next()?)));
        let part = |part: Option<(_, _)>| part.map(|(_, values)| values).filter(|_| self.shared);
        let affine = Affine { scale: part(scale), bias: part(bias) };
        let piece = self.size * TASK.div_ceil(self.size);
        workers.for_each_chunk(y, piece, |i, y| {
            let x = &inputs[0][i * piece..][..y.len()];
            layer_normalization::normalize(x, y, self.size, self.epsilon, affine);
        });
        if self.shared {
            return;
        }
        if let Some((walk, scale)) = scale {
            update(walk, scale, y, |y, scale| y * scale);
        }
        if let Some((walk, bias)) = bias {
            update(walk, bias, y, |y, bias| y + bias);
        }
    }
}

/// Computes `y = f(y, part)`, with broadcasting.
fn update(walk: &Broadcast<1>, part: &[f32], y: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    let [stride] = walk.inner_strides();
    walk.for_each_run(|at, [start], run| {
        let y = &mut y[at..at + run];
        match stride {
            1 => y.iter_mut().zip(&part[start..start + run]).for_each(|(y, &part)| *y = f(*y, part)),
            _ => y.iter_mut().enumerate().for_each(|(i, y)| *y = f(*y, part[start + i * stride])),
        }
    });
}

/// Inputs: x, dy.
#[derive(Debug)]
struct Gradient {
    size: usize,
    epsilon: f32,
}

impl Kernel for Gradient {
    fn run(&self, inputs: &[&[f32]], dx: &mut [f32], _: &mut [f32], workers: Workers) {
        let piece = self.size * TASK.div_ceil(self.size);
        workers.for_each_chunk(dx, piece, |i, dx| {
            let [x, dy] = [0, 1].map(|k| &inputs[k][i * piece..][..dx.len()]);
            layer_normalization::gradient(x, dy, dx, self.size, self.epsilon);
        });
    }
}
