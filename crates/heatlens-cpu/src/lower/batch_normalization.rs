//! Batch normalisation with stored statistics: one factor and one addend per channel, and the ReLU after it.

use heatlens_graph::Node;
use heatlens_graph::op::batch_normalization::BatchNormalization;

use crate::kernel::Workers;
use crate::kernel::elementwise::{relu, unary};
use crate::lower::{Kernel, Lowering, Refusal, Slot};

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    let op = *Lowering::op::<BatchNormalization>(node)?;
    Some(lower_normalization(lowering, node, op))
}

fn lower_normalization(
    lowering: &mut Lowering<'_>,
    node: &Node,
    op: BatchNormalization,
) -> Result<(), Refusal> {
    let mut inputs = Vec::new();
    for i in 0..5 {
        inputs.push(lowering.input(node, i)?);
    }
    let area = lowering.shape(inputs[0]).iter().skip(2).product::<usize>().max(1);
    let rectifier = lowering.only_rectifier(node);
    let output = rectifier.map_or(node.outputs[0], |rectifier| rectifier.outputs[0]);
    let slots: Vec<Slot> = inputs.iter().map(|&input| lowering.slot(input)).collect();
    let kernel = Normalize { epsilon: op.epsilon, area, relu: rectifier.is_some() };
    lowering.push_slots(node, output, &slots, kernel)
}

#[derive(Debug)]
struct Normalize {
    epsilon: f32,
    area: usize,
    /// True to replace negative results with zero.
    relu: bool,
}

impl Kernel for Normalize {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        /// Elements per task: some microseconds of work.
        const TASK: usize = 1 << 13;
        let [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map(|i| inputs[i]);
        let planes = TASK.div_ceil(self.area);
        workers.for_each_chunk(y, planes * self.area, |task, y| {
            let x = &x[task * planes * self.area..][..y.len()];
            // In a graph with a fixed batch size, the planes of several samples follow each other.
            let channels = (task * planes..).map(|plane| plane % scale.len());
            for (c, (x, y)) in channels.zip(x.chunks(self.area).zip(y.chunks_mut(self.area))) {
                let factor = scale[c] / (variance[c] + self.epsilon).sqrt();
                let (mean, bias) = (mean[c], bias[c]);
                if self.relu {
                    unary(x, y, |x| relu((x - mean) * factor + bias));
                } else {
                    unary(x, y, |x| (x - mean) * factor + bias);
                }
            }
        });
    }
}
