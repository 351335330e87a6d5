//! Pooling over sliding windows and its gradients.

use heatlens_graph::op::max_unpool::MaxUnpool;
use heatlens_graph::op::pool::{AveragePool, MaxPool};
use heatlens_graph::op::pool_grad::{AveragePoolGrad, MaxPoolGrad, MaxPoolSelect};
use heatlens_graph::{Node, ValueId};

use crate::kernel::{AvgPool2d, Isa, MaxPool2d, Workers};
use crate::lower::conv::window_2d;
use crate::lower::{Kernel, Lowering, Refusal};

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    if let Some(pool) = Lowering::op::<MaxPool>(node) {
        return Some(lower_max(lowering, node, pool, Part::Forward));
    }
    if let Some(select) = Lowering::op::<MaxPoolSelect>(node) {
        return Some(lower_max(lowering, node, &select.pool, Part::Select));
    }
    if let Some(grad) = Lowering::op::<MaxPoolGrad>(node) {
        return Some(lower_max(lowering, node, &grad.pool, Part::Grad));
    }
    if let Some(unpool) = Lowering::op::<MaxUnpool>(node) {
        return Some(lower_max(lowering, node, &unpool.pool, Part::Grad));
    }
    if let Some(pool) = Lowering::op::<AveragePool>(node) {
        return Some(lower_average(lowering, node, pool, Part::Forward));
    }
    let grad = Lowering::op::<AveragePoolGrad>(node)?;
    Some(lower_average(lowering, node, &grad.pool, Part::Grad))
}

/// Operation of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Forward,
    Select,
    Grad,
}

fn lower_max(lowering: &mut Lowering<'_>, node: &Node, pool: &MaxPool, part: Part) -> Result<(), Refusal> {
    let x = lowering.input(node, 0)?;
    let mut inputs: Vec<ValueId> = vec![x];
    if part != Part::Forward {
        inputs.push(lowering.input(node, 1)?);
    }
    let pooled = if part == Part::Grad { inputs[1] } else { node.outputs[0] };
    let window = window_2d(&pool.window, &lowering.shape(x), &lowering.shape(pooled))?;
    lowering.push(node, &inputs, Max { pool: MaxPool2d::new(window, Isa::best()), part })
}

fn lower_average(
    lowering: &mut Lowering<'_>,
    node: &Node,
    pool: &AveragePool,
    part: Part,
) -> Result<(), Refusal> {
    let given = lowering.input(node, 0)?;
    let (x, y) = if part == Part::Grad { (node.outputs[0], given) } else { (given, node.outputs[0]) };
    let window = window_2d(&pool.window, &lowering.shape(x), &lowering.shape(y))?;
    lowering.push(node, &[given], Average { pool: AvgPool2d::new(window, pool.count_include_pad), part })
}

/// Inputs: x, and v or dy.
#[derive(Debug)]
struct Max {
    pool: MaxPool2d,
    part: Part,
}

impl Kernel for Max {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        match self.part {
            Part::Forward => self.pool.run(inputs[0], y, workers),
            Part::Select => self.pool.select(inputs[0], inputs[1], y, workers),
            Part::Grad => self.pool.grad(inputs[0], inputs[1], y, workers),
        }
    }
}

/// Input: x or dy.
#[derive(Debug)]
struct Average {
    pool: AvgPool2d,
    part: Part,
}

impl Kernel for Average {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        match self.part {
            Part::Grad => self.pool.grad(inputs[0], y, workers),
            _ => self.pool.run(inputs[0], y, workers),
        }
    }
}
