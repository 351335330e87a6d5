//! Batch normalisation with stored statistics: one factor and one addend per channel.

use heatlens_graph::Node;
use heatlens_graph::op::batch_normalization::BatchNormalization;

use crate::kernel::Workers;
use crate::lower::{Kernel, Lowering, Refusal};

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
    let area = lowering.shape(inputs[0]).iter().skip(2).product();
    lowering.push(node, &inputs, Normalize { epsilon: op.epsilon, area })
}

#[derive(Debug)]
struct Normalize {
    epsilon: f32,
    area: usize,
}

impl Kernel for Normalize {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], _: Workers) {
        let [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map(|i| inputs[i]);
        let planes = x.chunks(self.area.max(1)).zip(y.chunks_mut(self.area.max(1)));
        // In a graph with a fixed batch size, the planes of several samples follow each other.
        for (c, (x, y)) in (0..scale.len()).cycle().zip(planes) {
            let factor = scale[c] / (variance[c] + self.epsilon).sqrt();
            let (mean, bias) = (mean[c], bias[c]);
            for (y, x) in y.iter_mut().zip(x) {
                *y = (x - mean) * factor + bias;
            }
        }
    }
}
