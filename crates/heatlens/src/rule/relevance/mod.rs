//! Layer-wise relevance propagation: the score is distributed backwards, node by node.
//!
//! The values propagated backwards are relevances, not gradients: each node distributes the relevance of its output
//! among its inputs. Layers with weights follow a [`Composite`], which assigns a [`LayerRule`] to each type of
//! layer; every other operator has a single rule, in `other.rs`. A node without a rule is an error that names it;
//! the plain gradient is never used instead.
//!
//! A batch normalization, in any form ([`affine`]), is merged into a convolution or dense layer if it is the only
//! user of its output: the rule is applied to one layer with the weights of both (Guillemot et al. 2020, "Breaking
//! Batch Normalization for Better Explainability of Deep Neural Networks through Layer-wise Relevance
//! Propagation").

mod affine;
mod composite;
mod layer;
mod other;

use std::collections::{BTreeMap, BTreeSet};

use heatlens_graph::{Backward, Builder, Graph, GraphError, InputGrads, Node, NodeId, Rules, ValueId};

pub use composite::{Composite, LayerPosition};
pub use layer::LayerRule;

use crate::rule::Network;
use affine::{Affine, is_arithmetic};
use layer::Layer;

type Built = Result<ValueId, GraphError>;
/// Offset that keeps denominators away from 0 in rules without an ε parameter.
pub(super) const STABILISER: f32 = 1e-6;

/// Relevance propagation through a network, by a composite of rules.
#[derive(Clone, Debug)]
pub struct Relevance<'a> {
    network: &'a Network,
    image: ValueId,
    composite: Composite,
    /// Arithmetic merged into each layer with weights.
    merged: BTreeMap<NodeId, Affine>,
    /// Other arithmetic, by its first node.
    loose: BTreeMap<NodeId, Affine>,
    /// All nodes of either that compute new values.
    taken: BTreeSet<NodeId>,
}

impl<'a> Relevance<'a> {
    /// Prepares the rules for `network`, which starts at `image`.
    #[must_use]
    pub fn new(network: &'a Network, graph: &Graph, image: ValueId, composite: Composite) -> Self {
        let (mut merged, mut loose, mut taken) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        for chain in Affine::all(network, graph) {
            let Some(&first) = chain.nodes.first().filter(|_| network.behind(chain.start) != image) else {
                continue;
            };
            taken.extend(chain.nodes.iter().filter(|&&id| is_arithmetic(graph.node(id))));
            let alone = network.readers(graph, chain.start).count() == 1;
            let layer = graph.producer(chain.start).filter(|&id| {
                let layer = Layer::of(network, graph.node(id));
                alone && layer.is_some_and(|layer| layer.takes(graph, graph.node(id), chain.axis))
            });
            match layer {
                Some(layer) => merged.insert(layer, chain),
                None => loose.insert(first, chain),
            };
        }
        Self { network, image, composite, merged, loose, taken }
    }

    /// Returns the rule of a layer with weights.
    fn rule(&self, node: &Node, layer: &Layer) -> LayerRule {
        let first = self.network.behind(layer.x(node)) == self.image;
        self.composite.rule(LayerPosition { first, dense: layer.is_dense() })
    }

    /// Returns true if a node only scales or shifts pixels: in the literature, the network starts after such nodes.
    fn prepares_pixels(&self, node: &Node) -> bool {
        let pixels = |&y: &ValueId| self.network.behind(y) == self.image;
        is_arithmetic(node) && node.outputs.first().is_some_and(pixels)
    }

    fn shares(&self, b: &mut Builder<'_>, node: &Node, relevance: ValueId, wanted: &[bool]) -> InputGrads {
        let id = node.outputs.first().and_then(|&y| b.graph().producer(y));
        if let (Some(id), Some(layer)) = (id, Layer::of(self.network, node)) {
            let rule = self.rule(node, &layer);
            let share = layer.merge(b, node, self.merged.get(&id))?.share(b, rule, relevance)?;
            let mut shares = vec![None; node.inputs.len()];
            shares[layer.x_position()] = Some(share);
            return Ok(shares);
        }
        let taken = id.is_some_and(|id| self.taken.contains(&id));
        let mut shares = match taken || self.prepares_pixels(node) {
            true => other::pass(wanted, relevance),
            false => other::shares(self.network, b, node, relevance, wanted)?,
        };
        if let Some(chain) = id.and_then(|id| self.loose.get(&id)) {
            for share in shares.iter_mut().flatten() {
                *share = chain.share(b, *share)?;
            }
        }
        Ok(shares)
    }
}

impl Rules for Relevance<'_> {
    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> Option<InputGrads> {
        let Some(relevance) = back.grad() else { return Some(back.nothing()) };
        Some(self.shares(builder, back.node, relevance, back.wanted))
    }
}
