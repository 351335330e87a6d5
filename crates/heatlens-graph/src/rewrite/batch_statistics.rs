//! Batch normalisation for training, with the statistics of the current batch.

use std::sync::Arc;

use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{Fact, Shape};
use crate::graph::{Graph, Node, Origin, ValueId};
use crate::op::batch_normalization::BatchNormalization;
use crate::op::identity::Identity;
use crate::op::require_value;
use crate::op::variance::Variance;

/// A batch normalisation whose statistics are computed from the batch.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// Name of the normalisation node.
    pub node: String,
    /// Stored mean in the original graph.
    pub stored_mean: ValueId,
    /// Stored variance in the original graph.
    pub stored_variance: ValueId,
    /// Mean of the batch in the new graph (C).
    pub mean: ValueId,
    /// Biased variance of the batch in the new graph (C).
    pub variance: ValueId,
}

/// Graph for training.
#[derive(Clone, Debug)]
pub struct TrainingGraph {
    /// The network with every batch normalisation reading the statistics of the batch.
    pub graph: Graph,
    /// For each value of the original graph, the corresponding value of the new one.
    pub map: Vec<ValueId>,
    /// Batch statistics computed by the normalisations.
    pub statistics: Vec<BatchStatistics>,
    /// Scalar input for 1 ÷ (number of samples); `None` if the graph has no batch normalisation.
    pub inverse_batch: Option<ValueId>,
}

/// Makes every batch normalisation read the mean and biased variance of the batch, which are computed from its input. Its
/// derivative follows automatically, including the part through the statistics.
///
/// # Errors
/// If the input of a normalisation is not N×C×….
pub fn with_batch_statistics(graph: &Graph) -> Result<TrainingGraph, GraphError> {
    let mut new = Graph::new(&graph.name);
    new.metadata.clone_from(&graph.metadata);
    let mut map = vec![ValueId(u32::MAX); graph.values().len()];
    for &id in graph.inputs() {
        map[id.index()] = new.add_input(&graph.value(id).name, graph.fact(id).clone());
    }
    for id in graph.value_ids() {
        if let Origin::Constant(tensor) = &graph.value(id).origin {
            map[id.index()] = new.add_constant(&graph.value(id).name, tensor.clone());
        }
    }
    let normalises = |node: &Node| node.op.downcast_ref::<BatchNormalization>().copied();
    let inverse_batch = graph
        .nodes()
        .iter()
        .any(|n| normalises(n).is_some())
        .then(|| new.add_input("inverse_batch", Fact::f32(Shape::fixed(&[]))));
    let mut statistics = Vec::new();
    for node in graph.nodes() {
        if let (Some(op), Some(inverse_batch)) = (normalises(node), inverse_batch) {
            let [x, scale, bias] = [0, 1, 2].map(|i| require_value(node, i).map(|i| map[i.index()]));
            let (x, scale, bias) = (x?, scale?, bias?);
            let mut builder = Builder::new(&mut new, &node.name);
            let (mean, variance) = of_batch(&mut builder, x, inverse_batch)?;
            map[node.outputs[0].index()] = builder.apply(op, &[x, scale, bias, mean, variance])?;
            statistics.push(BatchStatistics {
                node: node.name.clone(),
                stored_mean: require_value(node, 3)?,
                stored_variance: require_value(node, 4)?,
                mean,
                variance,
            });
        } else {
            let inputs: Vec<_> = node.inputs.iter().map(|i| i.map(|i| map[i.index()])).collect();
            let names: Vec<_> = node.outputs.iter().map(|&o| graph.value(o).name.clone()).collect();
            let id = new.add_named_node(&node.name, Arc::clone(&node.op), &inputs, &names)?;
            for (old, &id) in node.outputs.iter().zip(&new.node(id).outputs) {
                map[old.index()] = id;
            }
        }
    }
    let outputs: Vec<_> = graph.outputs().iter().map(|o| map[o.index()]).collect();
    new.set_outputs(&outputs);
    Ok(TrainingGraph { graph: new, map, statistics, inverse_batch })
}

/// Appends the mean and the biased variance of each channel of a sample (N×C×1…); the variance of a single element is 0 and
/// absent.
///
/// # Errors
/// If `x` is not N×C×….
pub fn of_samples(b: &mut Builder<'_>, x: ValueId) -> Result<(ValueId, Option<ValueId>), GraphError> {
    if b.shape(x).rank() == 2 {
        return Ok((x, None));
    }
    Ok((Variance::mean(b, x)?, Some(b.apply(Variance, &[x])?)))
}

/// Appends mean and biased variance of the batch (C each), from those of each sample: there is no second pass over x, and no
/// large sums are subtracted from each other.
fn of_batch(
    b: &mut Builder<'_>,
    x: ValueId,
    inverse_batch: ValueId,
) -> Result<(ValueId, ValueId), GraphError> {
    let shape = b.shape(x);
    let axes: Vec<usize> = (0..shape.rank()).filter(|&a| a != 1).collect();
    let (means, within) = of_samples(b, x)?;
    let total = b.sum(means, &axes, true)?;
    let mean = b.mul(total, inverse_batch)?;
    // The deviations sum to zero, so the mean adds nothing to the derivative of the sum of their squares.
    let centre = b.apply(Identity::Detached, &[mean])?;
    let apart = b.sub(means, centre)?;
    let mut squares = b.mul(apart, apart)?;
    if let Some(within) = within {
        squares = b.add(squares, within)?;
    }
    let total = b.sum(squares, &axes, true)?;
    let variance = b.mul(total, inverse_batch)?;
    let flat = Shape::fixed(&[shape.0[1].at(1)]);
    Ok((b.reshape(mean, flat.clone())?, b.reshape(variance, flat)?))
}
