//! Heads for which class activation maps were introduced: global average pooling, followed by a single dense layer or
//! none.
//!
//! For these, z = b + Σₖ wₖ · mean(Aₖ), so the map Σₖ wₖ Aₖ shows exactly the terms of the logit (Zhou et al. 2016,
//! "Learning Deep Features for Discriminative Localization", §2). Without a dense layer each class has its own channel
//! (Lin et al. 2014, "Network in Network"), with w = 1.

use std::collections::HashMap;

use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::global_pool::GlobalPoolFunction;
use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::window::Window;
use heatlens_graph::{Graph, Node, ValueId};

use crate::model::head::without_renaming;
use crate::model::{Layer, Model, SpatialLayout};

/// A global-average-pooling head.
#[derive(Clone, Debug, PartialEq)]
pub struct GapHead {
    /// The pooled layer, A.
    pub features: ValueId,
    /// The pooled features, N×C in some shape.
    pub pooled: ValueId,
    /// Weights of the dense layer, K rows of C: `weights[k * c + i]` multiplies the mean of channel i.
    pub weights: Vec<f32>,
    /// Biases of the dense layer, K.
    pub bias: Vec<f32>,
    /// Number of channels, C.
    pub channels: usize,
}

impl Model {
    /// Returns the head if the logits are a dense layer (or a 1×1 convolution) over globally averaged features, or such
    /// features themselves, with one channel per class.
    #[must_use]
    pub fn gap_head(&self) -> Option<GapHead> {
        self.gap_head_among(&self.layers())
    }

    /// Same as [`gap_head`](Self::gap_head), given all layers.
    pub(crate) fn gap_head_among(&self, layers: &[Layer]) -> Option<GapHead> {
        let (graph, outputs) = (&self.graph, self.head.outputs);
        let producer = |value: ValueId| graph.producer(value).map(|id| graph.node(id));
        let logits = without_renaming(graph, self.head.logits);
        if let Some(pool) = producer(logits)
            && let Some(layer) = self.pooled_layer(pool, layers).filter(|layer| layer.shape[0] == outputs)
        {
            let weights =
                (0..outputs * outputs).map(|i| f32::from(u8::from(i % (outputs + 1) == 0))).collect();
            let (features, bias) = (layer.value, vec![0.0; outputs]);
            return Some(GapHead { features, pooled: pool.outputs[0], weights, bias, channels: outputs });
        }
        let (dense, addend) = dense_and_bias(graph, logits)?;
        let (input, weights, bias) = dense_weights(graph, dense)?;
        let pool = producer(without_renaming(graph, input))?;
        let layer = self.pooled_layer(pool, layers)?;
        let (features, channels) = (layer.value, layer.shape[0]);
        if weights.len() != outputs * channels {
            return None;
        }
        let bias = addend.or(bias).unwrap_or_default();
        let bias = match bias.as_slice() {
            [] => vec![0.0; outputs],
            &[b] => vec![b; outputs],
            _ => bias,
        };
        Some(GapHead { features, pooled: pool.outputs[0], weights, bias, channels })
            .filter(|head| head.bias.len() == outputs)
    }

    /// Returns the layer that a global average pooling reads, past copies that are only rearranged.
    fn pooled_layer(&self, pool: &Node, layers: &[Layer]) -> Option<Layer> {
        let graph = &self.graph;
        let by_value: HashMap<ValueId, &Layer> = layers.iter().map(|l| (l.value, l)).collect();
        let find = |value: ValueId| by_value.get(&value).copied();
        let input = |node: &Node| node.inputs.first().copied().flatten();
        let mut layer = find(input(pool)?).filter(|layer| pools_places(graph, pool, layer))?;
        while layer.view {
            let behind = graph.producer(layer.value).and_then(|id| find(input(graph.node(id))?));
            match behind.filter(|behind| behind.shape == layer.shape) {
                Some(behind) => layer = behind,
                None => break,
            }
        }
        Some(layer.clone())
    }
}

fn constant(graph: &Graph, node: &Node, index: usize) -> Option<Vec<f32>> {
    let id = node.inputs.get(index).copied().flatten()?;
    graph.constant(id)?.as_f32().map(<[f32]>::to_vec)
}

/// Returns the node that computes the matrix product of the logits, and the constant added to it if that is a separate
/// node.
fn dense_and_bias(graph: &Graph, logits: ValueId) -> Option<(&Node, Option<Vec<f32>>)> {
    let node = graph.node(graph.producer(logits)?);
    if node.op.kind() != Kind::Binary(BinaryFunction::Add) {
        return Some((node, None));
    }
    let constant_side = (0..2).find(|&i| constant(graph, node, i).is_some())?;
    let product = without_renaming(graph, node.inputs.get(1 - constant_side).copied().flatten()?);
    Some((graph.node(graph.producer(product)?), constant(graph, node, constant_side)))
}

/// Returns a dense layer's input, its weights as K rows of C, and its bias.
fn dense_weights(graph: &Graph, node: &Node) -> Option<(ValueId, Vec<f32>, Option<Vec<f32>>)> {
    let input = node.inputs.first().copied().flatten()?;
    let matrix = constant(graph, node, 1)?;
    let shape = graph.fact(node.inputs.get(1).copied().flatten()?).shape.at(1);
    if let Kind::Conv(conv) = node.op.kind() {
        let one = conv.group == 1 && shape.iter().skip(2).all(|&n| n == 1);
        return one.then(|| (input, matrix, constant(graph, node, 2)));
    }
    let &[rows, columns] = shape.as_slice() else { return None };
    let transposed = || (0..columns).flat_map(|k| (0..rows).map(move |c| (c, k)));
    if let Kind::Gemm(gemm) = node.op.kind() {
        if gemm.trans_a {
            return None;
        }
        let bias = constant(graph, node, 2).map(|b| b.iter().map(|v| v * gemm.beta).collect());
        let mut weights =
            if gemm.trans_b { matrix } else { transposed().map(|(c, k)| matrix[c * columns + k]).collect() };
        weights.iter_mut().for_each(|w| *w *= gemm.alpha);
        return Some((input, weights, bias));
    }
    (node.op.kind() == Kind::MatMul).then_some(())?;
    Some((input, transposed().map(|(c, k)| matrix[c * columns + k]).collect(), None))
}

/// True if a node takes the mean over all places of a layer and does nothing else.
fn pools_places(graph: &Graph, node: &Node, layer: &Layer) -> bool {
    let spatial = layer.grid == SpatialLayout::Spatial;
    let reduce = match node.op.kind() {
        Kind::GlobalPool(function) => return spatial && function == GlobalPoolFunction::Average,
        Kind::AveragePool(window) => return spatial && *window == Window::new(&layer.shape[1..]),
        Kind::Reduce(reduce) if reduce.function == ReduceFunction::Mean => reduce,
        _ => return false,
    };
    let places: &[bool] = match layer.grid {
        SpatialLayout::Spatial => &[false, false, true, true],
        SpatialLayout::ChannelsLast => &[false, true, true, false],
        SpatialLayout::Tokens { before: 0, after: 0 } => &[false, true, false],
        SpatialLayout::Tokens { .. } => return false,
    };
    reduce.reduced(&graph.fact(layer.value).shape).is_ok_and(|reduced| reduced == places)
}

#[cfg(test)]
mod tests {
    use heatlens_graph::op::cast::Cast;
    use heatlens_graph::op::conv::Conv;
    use heatlens_graph::op::global_pool::GlobalPool;
    use heatlens_graph::op::softmax::Softmax;
    use heatlens_graph::{Builder, DType, Fact, GraphError, Shape, Tensor};

    use super::*;
    use crate::explain::{ExplainOptions, Explainer};
    use crate::method::find;
    use crate::target::Target;

    type Build = fn(&mut Builder<'_>, ValueId) -> Result<ValueId, GraphError>;

    const SIDE: usize = 6;

    fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 + 11) % 19) as f32 / 9.5 - 1.0).collect()
    }

    fn cast(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, GraphError> {
        b.apply(Cast { to: DType::F32 }, &[x])
    }

    fn conv(
        b: &mut Builder<'_>,
        x: ValueId,
        channels: [usize; 2],
        bias: Option<Vec<f32>>,
    ) -> Result<ValueId, GraphError> {
        let [from, to] = channels;
        let w = b.constant(Tensor::f32(&[to, from, 1, 1], numbers(to * from)));
        let bias = bias.map(|v| b.constant(Tensor::f32(&[to], v)));
        let inputs: Vec<ValueId> = [x, w].into_iter().chain(bias).collect();
        b.apply(Conv { window: Window::new(&[1, 1]), group: 1 }, &inputs)
    }

    /// The mean of CAM over the places is the logit without its bias, so both the layer and the weights are right.
    #[test]
    fn however_the_head_is_written_cam_adds_up_to_the_logit() {
        let bias = [0.5, -0.25, 1.5];
        let heads: [(&str, Build, [f32; 3]); 4] = [
            (
                "casts everywhere",
                |b, x| {
                    let x = cast(b, x)?;
                    let x = b.mean(x, &[2, 3], false)?;
                    let x = cast(b, x)?;
                    let w = b.constant(Tensor::f32(&[4, 3], numbers(12)));
                    let z = b.matmul(x, w)?;
                    let z = cast(b, z)?;
                    let bias = b.constant(Tensor::f32(&[3], vec![0.5, -0.25, 1.5]));
                    let z = b.add(z, bias)?;
                    cast(b, z)
                },
                bias,
            ),
            (
                "a 1×1 convolution behind the pooling",
                |b, x| {
                    let x = b.apply(GlobalPool(GlobalPoolFunction::Average), &[x])?;
                    let z = conv(b, x, [4, 3], Some(vec![0.5, -0.25, 1.5]))?;
                    b.reshape(z, Shape::batched(&[3]))
                },
                bias,
            ),
            (
                "a 1×1 convolution, then pooling",
                |b, x| {
                    let x = conv(b, x, [4, 3], Some(vec![0.5, -0.25, 1.5]))?;
                    let z = b.apply(GlobalPool(GlobalPoolFunction::Average), &[x])?;
                    b.reshape(z, Shape::batched(&[3]))
                },
                [0.0; 3],
            ),
            (
                "the same and a softmax",
                |b, x| {
                    let x = conv(b, x, [4, 3], None)?;
                    let x = b.relu(x)?;
                    let z = b.mean(x, &[2, 3], false)?;
                    b.apply(Softmax { axis: -1, log: false }, &[z])
                },
                [0.0; 3],
            ),
        ];
        for (name, head, bias) in heads {
            let mut graph = Graph::new("net");
            let x = graph.add_input("image", Fact::f32(Shape::batched(&[2, SIDE, SIDE])));
            let mut b = Builder::new(&mut graph, "net");
            let features = conv(&mut b, x, [2, 4], None).unwrap();
            let features = b.relu(features).unwrap();
            let y = head(&mut b, features).unwrap();
            graph.set_outputs(&[y]);
            let model = Model::from_graph(graph).unwrap();
            for class in 0..3 {
                let options = ExplainOptions {
                    target: Target::Class(class),
                    ..ExplainOptions::new(&[find("cam").unwrap()])
                };
                let explained = Explainer::new(&model, &options).unwrap_or_else(|e| panic!("{name}: {e}"));
                let explained = explained.explain(&numbers(2 * SIDE * SIDE), 1).unwrap().remove(0);
                let values = &explained.attributions[0].values;
                let mean = values.iter().sum::<f32>() / values.len() as f32;
                let logit = explained.logits[class];
                assert!(
                    (mean + bias[class] - logit).abs() < 1e-5,
                    "{name}: {mean} + {bias:?} is not {logit}"
                );
            }
        }
    }
}
