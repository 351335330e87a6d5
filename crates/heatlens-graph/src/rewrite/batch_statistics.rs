//! Batch normalisation for training, with the statistics of the current batch.

use std::sync::Arc;

use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{Fact, Shape};
use crate::graph::{Graph, Node, Origin, ValueId};
use crate::op::batch_normalization::BatchNormalization;
use crate::op::require_value;
use crate::op::unary::UnaryFunction;

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
    /// The network with every batch normalisation replaced with primitive operators.
    pub graph: Graph,
    /// For each value of the original graph, the corresponding value of the new one.
    pub map: Vec<ValueId>,
    /// Batch statistics computed by the normalisations.
    pub statistics: Vec<BatchStatistics>,
    /// Scalar input for 1 ÷ (number of samples); `None` if the graph has no batch normalisation.
    pub inverse_batch: Option<ValueId>,
}

/// Replaces every batch normalisation with primitive operators over the batch: mean, biased variance (two passes),
/// scale and bias. Its derivative follows automatically, including the part through the statistics.
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
            let x = map[require_value(node, 0)?.index()];
            let [scale, bias] = [require_value(node, 1)?, require_value(node, 2)?].map(|i| map[i.index()]);
            let mut builder = Builder::new(&mut new, &node.name);
            let (y, mean, variance) = normalise(&mut builder, op, x, scale, bias, inverse_batch)?;
            map[node.outputs[0].index()] = y;
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

fn normalise(
    b: &mut Builder<'_>,
    op: BatchNormalization,
    x: ValueId,
    scale: ValueId,
    bias: ValueId,
    inverse_batch: ValueId,
) -> Result<(ValueId, ValueId, ValueId), GraphError> {
    let shape = b.shape(x);
    let axes: Vec<usize> = (0..shape.rank()).filter(|&a| a != 1).collect();
    let area: usize = shape.0.iter().skip(2).map(|d| d.at(1)).product();
    #[allow(clippy::cast_precision_loss)]
    let inverse_area = b.scalar(1.0 / area as f32);
    let inverse_count = b.mul(inverse_batch, inverse_area)?;
    let mut wide = vec![1, shape.0[1].at(1)];
    wide.resize(shape.rank(), 1);
    let wide = Shape::fixed(&wide);

    let total = b.sum(x, &axes, true)?;
    let mean = b.mul(total, inverse_count)?;
    let centred = b.sub(x, mean)?;
    let square = b.mul(centred, centred)?;
    let total = b.sum(square, &axes, true)?;
    let variance = b.mul(total, inverse_count)?;
    let epsilon = b.scalar(op.epsilon);
    let sum = b.add(variance, epsilon)?;
    let root = b.unary(UnaryFunction::Sqrt, sum)?;
    let inverse = b.unary(UnaryFunction::Reciprocal, root)?;
    let scale = b.reshape(scale, wide.clone())?;
    let bias = b.reshape(bias, wide)?;
    let factor = b.mul(scale, inverse)?;
    let scaled = b.mul(centred, factor)?;
    let y = b.add(scaled, bias)?;
    let flat = Shape::fixed(&[shape.0[1].at(1)]);
    let (mean, variance) = (b.reshape(mean, flat.clone())?, b.reshape(variance, flat)?);
    Ok((y, mean, variance))
}
