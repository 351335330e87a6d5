//! Gather by constant indices, and its transpose.

use heatlens_graph::Node;
use heatlens_graph::op::gather::{Gather, GatherGrad};

use crate::kernel::{Workers, add_assign};
use crate::lower::{Kernel, Lowering, Refusal};

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    if let Some(grad) = Lowering::op::<GatherGrad>(node) {
        return Some(lower_runs(lowering, node, &grad.gather, true));
    }
    let gather = Lowering::op::<Gather>(node)?;
    Some(lower_runs(lowering, node, gather, false))
}

fn lower_runs(
    lowering: &mut Lowering<'_>,
    node: &Node,
    gather: &Gather,
    transposed: bool,
) -> Result<(), Refusal> {
    let x = lowering.input(node, 0)?;
    let whole = lowering.shape(if transposed { node.outputs[0] } else { x });
    let runs = Runs { gather: gather.clone(), whole };
    if transposed { lowering.push(node, &[x], Scatter(runs)) } else { lowering.push(node, &[x], Pick(runs)) }
}

/// Contiguous runs of elements: (start in the whole, start in the gathered part), `len` each.
#[derive(Debug)]
struct Runs {
    gather: Gather,
    whole: Vec<usize>,
}

#[derive(Debug)]
struct Pick(Runs);

impl Kernel for Pick {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], _: Workers) {
        let Runs { gather, whole } = &self.0;
        gather.for_each_run(whole, |from, to, len| {
            y[to..to + len].copy_from_slice(&inputs[0][from..from + len]);
        });
    }
}

#[derive(Debug)]
struct Scatter(Runs);

impl Kernel for Scatter {
    fn run(&self, inputs: &[&[f32]], dx: &mut [f32], _: &mut [f32], _: Workers) {
        let Runs { gather, whole } = &self.0;
        dx.fill(0.0);
        gather.for_each_run(whole, |to, from, len| {
            add_assign(&mut dx[to..to + len], &inputs[0][from..from + len]);
        });
    }
}
