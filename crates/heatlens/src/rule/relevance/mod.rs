//! Relevance propagation: the score is handed back, node by node, in shares.
//!
//! What flows back is relevance, not gradients: each node divides what arrived at its output among
//! its inputs. Layers with weights follow a [`Composite`], which names a [`LayerRule`] for each kind
//! of layer; every other operator has one rule, in `other.rs`. A node without a rule is an error that
//! names it, never the plain gradient.
//!
//! A batch normalisation, in whichever form ([`affine`]), that alone reads a convolution or dense layer is merged into it:
//! the rule sees one layer with the weights of both (Guillemot et al. 2020, "Breaking Batch Normalization for
//! Better Explainability of Deep Neural Networks through Layer-wise Relevance Propagation").

mod affine;
mod composite;
mod layer;
mod other;

use std::collections::{BTreeMap, BTreeSet};

use heatlens_graph::{Builder, Graph, GraphError, Node, NodeId, Rules, ValueId};

pub use composite::{Composite, Place};
pub use layer::LayerRule;

use crate::rule::Network;
use affine::{Affine, is_arithmetic};
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
    /// For each layer with weights the arithmetic merged into it.
    merged: BTreeMap<NodeId, Affine>,
    /// Arithmetic elsewhere, by its first node.
    loose: BTreeMap<NodeId, Affine>,
    /// The nodes of either that change numbers.
    taken: BTreeSet<NodeId>,
}

impl<'a> Relevance<'a> {
    /// The rules for `network`, which starts at `image`.
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

    /// The rule of a layer with weights.
    fn rule(&self, node: &Node, layer: &Layer) -> LayerRule {
        let first = self.network.behind(layer.x(node)) == self.image;
        self.composite.rule(Place { first, dense: layer.is_dense() })
    }

    /// Whether a node only scales or shifts pixels: in the literature the network begins behind that.
    fn prepares_pixels(&self, node: &Node) -> bool {
        let pixels = |&y: &ValueId| self.network.behind(y) == self.image;
        is_arithmetic(node) && node.outputs.first().is_some_and(pixels)
    }

    fn shares(&self, b: &mut Builder<'_>, node: &Node, relevance: ValueId, wanted: &[bool]) -> Shares {
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
