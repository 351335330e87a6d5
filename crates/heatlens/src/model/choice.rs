//! Which layer to look at when nobody says.

use std::collections::HashMap;

use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::reduce::{Reduce, ReduceFunction};
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::rewrite::needed_nodes;
use heatlens_graph::{Graph, Node, ValueId};

use crate::model::Layer;
use crate::model::axes::{Followed, Mixing};

/// What the last node that mixes places reads, or the normalisation behind it.
pub(super) fn default_layer(
    graph: &Graph,
    logits: ValueId,
    followed: &Followed,
    layers: &[Layer],
) -> Option<Layer> {
    let needed = needed_nodes(graph, &[logits]);
    let last = followed.mixing.iter().rfind(|m| needed.get(m.node.index()) == Some(&true));
    let chosen = last.and_then(|mixing| behind(graph, followed, layers, *mixing));
    chosen.or_else(|| layers.last()).cloned()
}

/// Goes back from what a node mixes to the layer it stands for: past copies that are arranged anew
/// or padded; from an attention's values to the normalisation that they were made from.
fn behind<'l>(graph: &Graph, followed: &Followed, layers: &'l [Layer], mixing: Mixing) -> Option<&'l Layer> {
    let by_value: HashMap<ValueId, &Layer> = layers.iter().map(|l| (l.value, l)).collect();
    let mut value = mixing.value;
    let mut fallback = None;
    loop {
        let layer = by_value.get(&value).copied();
        let node = graph.producer(value).map(|id| graph.node(id));
        if let Some(layer) = layer {
            let found = match mixing.product {
                true => is_normalisation(graph, value),
                false => !layer.view,
            };
            if found {
                return Some(layer);
            }
            if fallback.is_none() && !layer.view {
                fallback = Some(layer);
            }
        }
        // A second way from the image (a shortcut) ends the search.
        let depends = |i: &&ValueId| followed.axes[i.index()].is_some();
        let inputs: Vec<ValueId> = node.map_or(&[][..], |n| &n.inputs).iter().flatten().copied().collect();
        match inputs.iter().filter(depends).collect::<Vec<_>>().as_slice() {
            &[&only] => value = only,
            _ => return fallback.or_else(|| before(graph, layers, mixing)),
        }
    }
}

/// The last layer that was there when a node mixed places.
fn before<'l>(graph: &Graph, layers: &'l [Layer], mixing: Mixing) -> Option<&'l Layer> {
    let earlier = |l: &&Layer| graph.producer(l.value).is_some_and(|id| id < mixing.node);
    layers.iter().rfind(|l| earlier(l) && !l.view)
}

/// Whether a value is the result of a layer normalisation, as one operator or written out:
/// (x − mean) ÷ √(…), or x ÷ √(…), then scaled and shifted by constants.
pub(super) fn is_normalisation(graph: &Graph, value: ValueId) -> bool {
    let Some(mut node) = producer(graph, value) else { return false };
    for _ in 0..2 {
        if let Some(inner) = affine_input(graph, node) {
            let Some(next) = producer(graph, inner) else { return false };
            node = next;
        }
    }
    if matches!(
        node.op.spelling().name,
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization"
    ) {
        return true;
    }
    let scales =
        matches!(node.op.downcast_ref::<Binary>(), Some(Binary(BinaryFunction::Div | BinaryFunction::Mul)));
    let inputs: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
    scales && matches!(inputs.as_slice(), &[a, b] if is_deviation(graph, b) || is_deviation(graph, a))
}

fn producer(graph: &Graph, value: ValueId) -> Option<&Node> {
    graph.producer(value).map(|id| graph.node(id))
}

/// The other input of a sum or product with a constant.
fn affine_input(graph: &Graph, node: &Node) -> Option<ValueId> {
    let binary = node.op.downcast_ref::<Binary>()?;
    matches!(binary.0, BinaryFunction::Add | BinaryFunction::Mul).then_some(())?;
    let &[Some(a), Some(b)] = node.inputs.as_slice() else { return None };
    match (graph.constant(a).is_some(), graph.constant(b).is_some()) {
        (false, true) => Some(a),
        (true, false) => Some(b),
        _ => None,
    }
}

/// Whether a value is a root (or its reciprocal) over a mean.
fn is_deviation(graph: &Graph, value: ValueId) -> bool {
    let (mut at, mut root) = (value, false);
    // A mean, perhaps with a small number added, the root, perhaps its reciprocal, perhaps a copy or two.
    for _ in 0..6 {
        let Some(node) = producer(graph, at) else { return false };
        if let Some(reduce) = node.op.downcast_ref::<Reduce>() {
            return root && reduce.function == ReduceFunction::Mean;
        }
        root |= matches!(node.op.downcast_ref::<Unary>(), Some(Unary(UnaryFunction::Sqrt)));
        root |= matches!(node.op.downcast_ref::<Binary>(), Some(Binary(BinaryFunction::Pow)));
        let inputs = || node.inputs.iter().flatten();
        match inputs().find(|i| graph.constant(**i).is_none()) {
            Some(&next) => at = next,
            None => return false,
        }
    }
    false
}
