//! The head for which class activation maps were invented: global average pooling, then one dense layer.
//!
//! There z = b + Σₖ wₖ · mean(Aₖ), so the map Σₖ wₖ Aₖ shows exactly what adds up to the logit
//! (Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", §2).

use std::collections::HashMap;

use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::gemm::Gemm;
use heatlens_graph::op::global_pool::{GlobalPool, GlobalPoolFunction};
use heatlens_graph::op::matmul::MatMul;
use heatlens_graph::op::pool::AveragePool;
use heatlens_graph::op::reduce::{Reduce, ReduceFunction};
use heatlens_graph::op::window::Window;
use heatlens_graph::{Graph, Node, ValueId};

use crate::model::head::is_renaming;
use crate::model::{Grid, Layer, Model};

/// A global-average-pooling head.
#[derive(Clone, Debug, PartialEq)]
pub struct GapHead {
    /// The layer that is pooled: A.
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
    /// The head, if the logits are a dense layer over globally averaged features.
    #[must_use]
    pub fn gap_head(&self) -> Option<GapHead> {
        let graph = &self.graph;
        let (dense, addend) = dense_and_bias(graph, skip_renaming(graph, self.head.logits))?;
        let (input, weights, bias) = dense_weights(graph, dense)?;
        let pool = graph.node(graph.producer(skip_renaming(graph, input))?);
        let layer = self.pooled_layer(pool)?;
        let (features, channels) = (layer.value, layer.shape[0]);
        let outputs = self.head.outputs;
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

    /// What a global average pooling pools, past copies that are only arranged anew.
    fn pooled_layer(&self, pool: &Node) -> Option<Layer> {
        let graph = &self.graph;
        let layers = self.layers();
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

/// The value behind reshapes that change no element.
fn skip_renaming(graph: &Graph, mut value: ValueId) -> ValueId {
    while let Some(node) = graph.producer(value).map(|id| graph.node(id)).filter(|n| is_renaming(n)) {
        match node.inputs.first() {
            Some(&Some(input)) => value = input,
            _ => break,
        }
    }
    value
}

fn constant(graph: &Graph, node: &Node, index: usize) -> Option<Vec<f32>> {
    let id = node.inputs.get(index).copied().flatten()?;
    graph.constant(id)?.as_f32().map(<[f32]>::to_vec)
}

/// The matrix product behind the logits, and the constant added to it where that is a node of its own.
fn dense_and_bias(graph: &Graph, logits: ValueId) -> Option<(&Node, Option<Vec<f32>>)> {
    let node = graph.node(graph.producer(logits)?);
    if node.op.downcast_ref::<Binary>() != Some(&Binary(BinaryFunction::Add)) {
        return Some((node, None));
    }
    let constant_side = (0..2).find(|&i| constant(graph, node, i).is_some())?;
    let product = node.inputs.get(1 - constant_side).copied().flatten()?;
    Some((graph.node(graph.producer(product)?), constant(graph, node, constant_side)))
}

/// A dense layer's input, its weights as K rows of C, and its bias.
fn dense_weights(graph: &Graph, node: &Node) -> Option<(ValueId, Vec<f32>, Option<Vec<f32>>)> {
    let input = node.inputs.first().copied().flatten()?;
    let matrix = constant(graph, node, 1)?;
    let shape = graph.fact(node.inputs.get(1).copied().flatten()?).shape.at(1);
    let &[rows, columns] = shape.as_slice() else { return None };
    let transposed = || (0..columns).flat_map(|k| (0..rows).map(move |c| (c, k)));
    if let Some(gemm) = node.op.downcast_ref::<Gemm>() {
        if gemm.trans_a {
            return None;
        }
        let bias = constant(graph, node, 2).map(|b| b.iter().map(|v| v * gemm.beta).collect());
        let mut weights =
            if gemm.trans_b { matrix } else { transposed().map(|(c, k)| matrix[c * columns + k]).collect() };
        weights.iter_mut().for_each(|w| *w *= gemm.alpha);
        return Some((input, weights, bias));
    }
    node.op.downcast_ref::<MatMul>()?;
    Some((input, transposed().map(|(c, k)| matrix[c * columns + k]).collect(), None))
}

/// Whether a node takes the mean over all places of a layer and nothing else.
fn pools_places(graph: &Graph, node: &Node, layer: &Layer) -> bool {
    let spatial = layer.grid == Grid::Spatial;
    if node.op.downcast_ref::<GlobalPool>() == Some(&GlobalPool(GlobalPoolFunction::Average)) {
        return spatial;
    }
    if let Some(pool) = node.op.downcast_ref::<AveragePool>() {
        return spatial && pool.window == Window::new(&layer.shape[1..]);
    }
    let places: &[bool] = match layer.grid {
        Grid::Spatial => &[false, false, true, true],
        Grid::ChannelsLast => &[false, true, true, false],
        Grid::Tokens { before: 0, after: 0 } => &[false, true, false],
        Grid::Tokens { .. } => return false,
    };
    let reduce = node.op.downcast_ref::<Reduce>().filter(|r| r.function == ReduceFunction::Mean);
    reduce
        .and_then(|r| r.reduced(&graph.fact(layer.value).shape).ok())
        .is_some_and(|reduced| reduced == places)
}
