//! Variance of each channel.

use heatlens_graph::Node;
use heatlens_graph::op::variance::Variance;

use crate::kernel::Workers;
use crate::kernel::reduce::{squared_deviations, sum};
use crate::lower::{Kernel, Lowering, Refusal};

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    Lowering::op::<Variance>(node)?;
    Some(lowering.input(node, 0).and_then(|x| {
        let area = lowering.shape(x).iter().skip(2).product();
        lowering.push(node, &[x], OfPlanes { area })
    }))
}

#[derive(Debug)]
struct OfPlanes {
    /// Elements of a plane.
    area: usize,
}

impl Kernel for OfPlanes {
    #[allow(clippy::cast_precision_loss)]
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        let count = self.area as f32;
        workers.for_each_chunk(y, 1, |plane, y| {
            let x = &inputs[0][plane * self.area..(plane + 1) * self.area];
            y[0] = squared_deviations(x, sum(x) / count) / count;
        });
    }
}
