//! Softmax and log-softmax.

use heatlens_graph::Node;
use heatlens_graph::op::softmax::Softmax;

use crate::kernel::{Workers, softmax};
use crate::lower::{Kernel, Lowering, Refusal};

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    let op = *Lowering::op::<Softmax>(node)?;
    Some(lower_softmax(lowering, node, op))
}

fn lower_softmax(lowering: &mut Lowering<'_>, node: &Node, op: Softmax) -> Result<(), Refusal> {
    let x = lowering.input(node, 0)?;
    let axis = op.axis_of(&lowering.graph.fact(x).shape).map_err(|e| e.to_string())?;
    let shape = lowering.shape(x);
    let kernel = SoftmaxKernel { count: shape[axis], step: shape[axis + 1..].iter().product(), log: op.log };
    lowering.push(node, &[x], kernel)
}

#[derive(Debug)]
struct SoftmaxKernel {
    count: usize,
    step: usize,
    log: bool,
}

impl Kernel for SoftmaxKernel {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        softmax::softmax(inputs[0], y, self.count, self.step, self.log, workers);
    }
}
