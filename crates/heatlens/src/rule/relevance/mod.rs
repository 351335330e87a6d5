//! Relevance propagation: the score is handed back, node by node, in shares.
//!
//! What flows back is relevance, not gradients: each node divides what arrived at its output among
//! its inputs. Layers with weights follow a [`Composite`], which names a [`LayerRule`] for each kind
//! of layer; every other operator has one rule, in `other.rs`. A node without a rule is an error that
//! names it, never the plain gradient.
//!
//! A batch normalisation that alone reads a convolution or dense layer is merged into it: the rule
//! sees one layer with the weights of both (Guillemot et al. 2020, "Breaking Batch Normalization for
//! Better Explainability of Deep Neural Networks through Layer-wise Relevance Propagation").

mod composite;
mod layer;
mod other;

use std::collections::BTreeMap;

use heatlens_graph::op::batch_normalization::BatchNormalization;
use heatlens_graph::op::binary::Binary;
use heatlens_graph::{Builder, Graph, GraphError, Node, NodeId, Rules, ValueId};

pub use composite::{Composite, Place};
pub use layer::LayerRule;

use crate::rule::Network;
use layer::Layer;

type Built = Result<ValueId, GraphError>;
type Shares = Result<Vec<Option<ValueId>>, GraphError>;

/// What keeps a denominator away from 0 where a rule has no number for it.
pub(super) const STABILISER: f32 = 1e-6;

/// Relevance propagation through a network, by a composite of rules.
#[derive(Clone, Debug)]
pub struct Relevance<'a> {
    network: &'a Network,
    image: ValueId,
    composite: Composite,
    /// For each layer with weights the normalisation merged into it.
    merged: BTreeMap<NodeId, NodeId>,
}

impl<'a> Relevance<'a> {
    /// The rules for `network`, which starts at `image`.
    #[must_use]
    pub fn new(network: &'a Network, graph: &Graph, image: ValueId, composite: Composite) -> Self {
        let mut merged = BTreeMap::new();
        for id in network.nodes(graph) {
            let node = graph.node(id);
            if node.op.downcast_ref::<BatchNormalization>().is_none() {
                continue;
            }
            let layer = node.inputs.first().copied().flatten().and_then(|x| {
                let alone = network.readers(graph, x).count() == 1 && network.varying(node).count() == 1;
                graph.producer(x).filter(|&layer| alone && Layer::of(network, graph.node(layer)).is_some())
            });
            merged.extend(layer.map(|layer| (layer, id)));
        }
        Self { network, image, composite, merged }
    }

    /// The rule of a layer with weights.
    fn rule(&self, node: &Node, layer: &Layer) -> LayerRule {
        let first = self.network.behind(layer.x(node)) == self.image;
        self.composite.rule(Place { first, dense: layer.is_dense() })
    }

    /// Whether a node only scales or shifts pixels: in the literature the network begins behind that.
    fn prepares_pixels(&self, node: &Node) -> bool {
        let pixels = |&y: &ValueId| self.network.behind(y) == self.image;
        node.op.downcast_ref::<Binary>().is_some() && node.outputs.first().is_some_and(pixels)
    }

    fn shares(&self, b: &mut Builder<'_>, node: &Node, relevance: ValueId, wanted: &[bool]) -> Shares {
        let id = node.outputs.first().and_then(|&y| b.graph().producer(y));
        if let (Some(id), Some(layer)) = (id, Layer::of(self.network, node)) {
            let norm = self.merged.get(&id).map(|&norm| b.graph().node(norm).clone());
            let rule = self.rule(node, &layer);
            let share = layer.merge(b, node, norm.as_ref())?.share(b, rule, relevance)?;
            let mut shares = vec![None; node.inputs.len()];
            shares[layer.x_position()] = Some(share);
            return Ok(shares);
        }
        let is_merged = id.is_some_and(|id| self.merged.values().any(|&norm| norm == id));
        if is_merged || self.prepares_pixels(node) {
            return Ok(other::pass(wanted, relevance));
        }
        other::shares(self.network, b, node, relevance, wanted)
    }
}

impl Rules for Relevance<'_> {
    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Option<Shares> {
        let Some(Some(relevance)) = output_grads.first() else {
            return Some(Ok(vec![None; node.inputs.len()]));
        };
        Some(self.shares(builder, node, *relevance, wanted))
    }
}
