//! Reductions and global pooling.

use heatlens_graph::op::global_pool::GlobalPool;
use heatlens_graph::op::reduce::{Reduce, ReduceFunction};
use heatlens_graph::{Node, ValueId};

use crate::kernel::Workers;
use crate::kernel::reduce::{Max, Min, Prod, ReduceWalk, Sum};
use crate::lower::{Kernel, Lowering, Refusal};

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    let reduce = match (Lowering::op::<Reduce>(node), Lowering::op::<GlobalPool>(node)) {
        (Some(reduce), _) => reduce.clone(),
        (_, Some(pool)) => pool.as_reduce(lowering.graph.fact(node.outputs[0]).shape.rank()),
        _ => return None,
    };
    Some(lower_reduce(lowering, node, &reduce))
}

fn lower_reduce(lowering: &mut Lowering<'_>, node: &Node, reduce: &Reduce) -> Result<(), Refusal> {
    let x = lowering.input(node, 0)?;
    let kernel = kernel(lowering, x, reduce)?;
    let over_samples = lowering.is_per_sample(x) && !lowering.is_per_sample(node.outputs[0]);
    if over_samples && reduce.function == ReduceFunction::Sum {
        lowering.push_sum(node, &[x], SumOver(kernel));
        return Ok(());
    }
    lowering.push(node, &[x], kernel)
}

fn kernel(lowering: &Lowering<'_>, x: ValueId, reduce: &Reduce) -> Result<ReduceKernel, Refusal> {
    use ReduceFunction::{Max, Mean, Min, Prod, Sum};
    if !matches!(reduce.function, Sum | Mean | Max | Min | Prod) {
        return Err(format!("no kernel for {:?}", reduce.function));
    }
    let shape = lowering.shape(x);
    let reduced = reduce.reduced(&lowering.graph.fact(x).shape).map_err(|e| e.to_string())?;
    let count: usize = shape.iter().zip(&reduced).filter(|(_, r)| **r).map(|(d, _)| d).product();
    Ok(ReduceKernel { function: reduce.function, walk: ReduceWalk::new(&shape, &reduced), count })
}

#[derive(Debug)]
struct ReduceKernel {
    function: ReduceFunction,
    walk: ReduceWalk,
    /// Elements of x per output.
    count: usize,
}

impl Kernel for ReduceKernel {
    #[allow(clippy::cast_precision_loss)]
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        let (x, last) = (inputs[0], |_, new| new);
        match self.function {
            ReduceFunction::Max => self.walk.run::<Max>(x, y, last, workers),
            ReduceFunction::Min => self.walk.run::<Min>(x, y, last, workers),
            ReduceFunction::Prod => self.walk.run::<Prod>(x, y, last, workers),
            ReduceFunction::Mean => {
                self.walk.run::<Sum>(x, y, |_, new| new / self.count as f32, workers);
            }
            _ => self.walk.run::<Sum>(x, y, last, workers),
        }
    }
}

/// A sum that continues over the samples.
#[derive(Debug)]
struct SumOver(ReduceKernel);

impl Kernel for SumOver {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        self.0.walk.run::<Sum>(inputs[0], y, |old, new| old + new, workers);
    }
}
