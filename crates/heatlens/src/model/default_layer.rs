//! Selection of the default layer.

use std::collections::HashMap;
use std::ops::Range;

use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::rewrite::needed_nodes;
use heatlens_graph::{Graph, Node, NodeId, ValueId};

use crate::model::axes::{Mixing, PropagatedAxes};
use crate::model::head::Boxes;
use crate::model::{Layer, Model};

/// Maximum number of boxes per cell of a level.
const MOST_ANCHORS: usize = 16;

/// Number of cells up to which a map is considered too coarse.
const FEW_CELLS: usize = 4;

/// The default layer.
pub(crate) struct DefaultLayer {
    pub(crate) layer: Layer,
    /// Notes for the user.
    pub(crate) notes: Vec<String>,
}

impl DefaultLayer {
    /// Selects the input of the last node that mixes places, or the normalisation before it, and refines the choice to
    /// a layer that sees the unflipped image and has more than a few cells.
    pub(super) fn of(model: &Model, propagated: &PropagatedAxes, layers: &[Layer]) -> Option<Self> {
        let (graph, head) = (&model.graph, &model.head);
        // Nodes appended to compute log odds are not layers of the network.
        let own = |l: &Layer| graph.producer(l.value) <= graph.producer(head.output);
        let layers = &layers[..layers.partition_point(own)];
        let needed = needed_nodes(graph, &[head.logits]);
        let last = propagated.mixing.iter().rfind(|m| needed.get(m.node.index()) == Some(&true));
        let found = last.and_then(|mixing| behind(graph, propagated, layers, *mixing));
        let mut choice = Self { layer: found.or_else(|| layers.last())?.clone(), notes: Vec::new() };
        let all = bottlenecks(graph, &needed, propagated);
        choice.unflip(layers);
        choice.refine(layers, &all);
        choice.tell(layers, &all, last.is_some_and(|mixing| mixing.product));
        choice.tell_undescribed(graph, &needed, propagated);
        Some(choice)
    }

    /// Adds notes on other parts of the network that the scores depend on.
    fn tell(&mut self, layers: &[Layer], all: &[bool], attention: bool) {
        let Layer { name, value, .. } = &self.layer;
        let everything = all[value.index()];
        if !self.layer.is_flipped() && layers.iter().any(Layer::is_flipped) {
            let seen = if everything { "combines what it sees in both" } else { "sees the unflipped image" };
            self.notes
                .push(format!("the network also looks at a flipped copy of the image: {name:?} {seen}"));
        } else if !everything && !attention {
            self.notes.push(format!(
                "the scores also depend on parts of the network besides {name:?}: its maps show only part of \
                 what matters"
            ));
        }
    }

    /// Adds a note if there are later layers whose rows and columns are unknown.
    fn tell_undescribed(&mut self, graph: &Graph, needed: &[bool], propagated: &PropagatedAxes) {
        let on_the_way = |id: &&NodeId| needed.get(id.index()) == Some(&true);
        if let Some(id) = propagated.undescribed.iter().find(on_the_way) {
            let Node { name, op, .. } = graph.node(*id);
            self.notes.push(format!(
                "nothing is known about the positions of the results of operator {} ({name:?}): no layer after it can be \
                 explained, and {:?} comes before it",
                op.onnx_form().name,
                self.layer.name
            ));
        }
    }

    /// Replaces a layer of a flipped copy of the image, or of both copies, by the corresponding layer of the unflipped
    /// image.
    fn unflip(&mut self, layers: &[Layer]) {
        let Layer { value, op, shape, cells, .. } = &self.layer;
        let both = cells.contains(&None) && layers.iter().any(Layer::is_flipped);
        let straight = |l: &&Layer| !l.view && !l.is_flipped() && l.shape == *shape;
        let alike = |l: &&Layer| {
            straight(l) && if both { l.value < *value && !l.cells.contains(&None) } else { l.op == *op }
        };
        if let Some(straight) = layers.iter().rfind(alike).filter(|_| both || self.layer.is_flipped()) {
            self.layer = straight.clone();
        }
    }

    /// Goes back to the last size with more than a few cells, preferably to a layer through which everything passes.
    fn refine(&mut self, layers: &[Layer], all: &[bool]) {
        let Layer { name, value, shape: [_, h, w], .. } = &self.layer;
        if h * w > FEW_CELLS {
            return;
        }
        let own = |l: &&Layer| l.value < *value && !l.view && l.is_flipped() == self.layer.is_flipped();
        let sees_more = |l: &&Layer| l.cells.iter().flatten().all(|cells| cells.reach() > 1.0);
        let finer = |l: &&Layer| own(l) && sees_more(l) && l.shape[1] * l.shape[2] > FEW_CELLS;
        let Some(last) = layers.iter().rfind(finer) else { return };
        let same = |l: &&Layer| finer(l) && l.shape[1..] == last.shape[1..] && all[l.value.index()];
        let chosen = layers.iter().rfind(same).unwrap_or(last);
        let [_, rows, columns] = chosen.shape;
        self.notes.push(format!(
            "{name:?} has only {h}×{w} cells: {:?} with {rows}×{columns} is used instead (--layer {name} \
             overrides this)",
            chosen.name
        ));
        self.layer = chosen.clone();
    }
}

/// Returns, for every value, true if everything that the scores depend on in the image passes through it.
fn bottlenecks(graph: &Graph, needed: &[bool], propagated: &PropagatedAxes) -> Vec<bool> {
    let depends = |value: &&ValueId| propagated.axes[value.index()].is_some();
    let nodes = || graph.nodes().iter().enumerate().filter(|(at, _)| needed.get(*at) == Some(&true));
    let mut last_use = vec![0; graph.values().len()];
    for (at, node) in nodes() {
        node.inputs.iter().flatten().filter(depends).for_each(|input| last_use[input.index()] = at);
    }
    let inputs = graph.inputs().iter().filter(depends);
    let mut open_until = inputs.map(|input| last_use[input.index()]).max().unwrap_or(0);
    let mut found = vec![false; graph.values().len()];
    for (at, node) in nodes() {
        for output in node.outputs.iter().filter(depends) {
            found[output.index()] = open_until <= at;
        }
        open_until = node.outputs.iter().map(|output| last_use[output.index()]).fold(open_until, usize::max);
    }
    found
}

/// Returns the layer from which the boxes of each pyramid level are computed: the last one of its size that is common
/// to scores and boxes and is followed by a convolution that mixes places. Returns `None` if a level has no such layer.
pub(super) fn level_layers(graph: &Graph, boxes: &Boxes, layers: &[Layer]) -> Option<Vec<Layer>> {
    let common = needed_nodes(graph, &[boxes.value]);
    let of = |(range, value): &(Range<usize>, ValueId)| {
        let needed = needed_nodes(graph, &[*value]);
        let mixed = mixed_later(graph, &needed);
        let fits = |layer: &&Layer| {
            let area = layer.shape[1] * layer.shape[2];
            let both = graph.producer(layer.value).is_some_and(|id| needed[id.index()] && common[id.index()]);
            let boxes_of_cell = range.len() / area.max(1);
            range.len() % area.max(1) == 0
                && (1..=MOST_ANCHORS).contains(&boxes_of_cell)
                && both
                && !layer.view
                && mixed[layer.value.index()]
        };
        layers.iter().rfind(fits).cloned()
    };
    boxes.levels.iter().map(of).collect::<Option<Vec<_>>>().filter(|found| !found.is_empty())
}

/// True if a node is a convolution that mixes places.
fn mixes(node: &Node) -> bool {
    let window = match node.op.kind() {
        Kind::Conv(conv) | Kind::ConvTranspose(conv) => Some(&conv.window),
        _ => None,
    };
    window.is_some_and(|window| window.kernel.iter().any(|&side| side > 1))
}

/// Returns, for every value, true if one of the needed nodes mixes its places later.
fn mixed_later(graph: &Graph, needed: &[bool]) -> Vec<bool> {
    let mut mixed = vec![false; graph.values().len()];
    for (node, _) in graph.nodes().iter().zip(needed).filter(|(_, needed)| **needed).rev() {
        let later = mixes(node) || node.outputs.iter().any(|output| mixed[output.index()]);
        node.inputs.iter().flatten().for_each(|input| mixed[input.index()] |= later);
    }
    mixed
}

/// Returns the last layer of the coarsest size used by convolutions that is followed by another convolution that mixes
/// places: the score of a pixel then depends on many of its places. This is for scores at places, which no node
/// reduces.
pub(super) fn coarsest_layer(graph: &Graph, scores: ValueId, layers: &[Layer]) -> Option<Layer> {
    let needed = needed_nodes(graph, &[scores]);
    let area = |layer: &Layer| layer.shape[1] * layer.shape[2];
    let made_by = |value: ValueId| graph.producer(value).map(|id| graph.node(id));
    let made = |layer: &&Layer| {
        made_by(layer.value).is_some_and(|node| mixes(node) && matches!(node.op.kind(), Kind::Conv(_)))
    };
    let coarsest = layers.iter().filter(made).map(area).min()?;
    let mixed = mixed_later(graph, &needed);
    let fits = |layer: &&Layer| area(layer) == coarsest && !layer.view;
    let mut found = layers.iter().filter(fits);
    found.clone().rfind(|layer| mixed[layer.value.index()]).or_else(|| found.next_back()).cloned()
}

/// Follows the input of a node that mixes places back to its layer: past rearranged or padded copies, and from an
/// attention's values to the normalisation before them.
fn behind<'l>(
    graph: &Graph,
    propagated: &PropagatedAxes,
    layers: &'l [Layer],
    mixing: Mixing,
) -> Option<&'l Layer> {
    let by_value: HashMap<ValueId, &Layer> = layers.iter().map(|l| (l.value, l)).collect();
    let mut value = mixing.value;
    let mut fallback = None;
    loop {
        let layer = by_value.get(&value).copied();
        let node = graph.producer(value).map(|id| graph.node(id));
        if let Some(layer) = layer {
            let found = match mixing.product {
                true => is_normalisation(graph, value),
                false => !layer.view && !enlarges(node, &by_value, layer),
            };
            if found {
                return Some(layer);
            }
            if fallback.is_none() && !layer.view {
                fallback = Some(layer);
            }
        }
        // The search ends at a second path from the image (a shortcut).
        let depends = |i: &&ValueId| propagated.axes[i.index()].is_some();
        let inputs: Vec<ValueId> = node.map_or(&[][..], |n| &n.inputs).iter().flatten().copied().collect();
        match inputs.iter().filter(depends).collect::<Vec<_>>().as_slice() {
            &[&only] => value = only,
            _ => return fallback.or_else(|| before(graph, layers, mixing)),
        }
    }
}

/// True if a node only upsamples a layer, by a constant matrix for each axis.
fn enlarges(node: Option<&Node>, layers: &HashMap<ValueId, &Layer>, layer: &Layer) -> bool {
    let Some(node) = node.filter(|node| node.op.kind() == Kind::MatMul) else { return false };
    let cells = |layer: &Layer| layer.shape[1] * layer.shape[2];
    node.inputs.iter().flatten().any(|i| layers.get(i).is_some_and(|&from| cells(from) < cells(layer)))
}

/// Returns the last layer before a node that mixes places.
fn before<'l>(graph: &Graph, layers: &'l [Layer], mixing: Mixing) -> Option<&'l Layer> {
    let earlier = |l: &&Layer| graph.producer(l.value).is_some_and(|id| id < mixing.node);
    layers.iter().rfind(|l| earlier(l) && !l.view)
}

/// True if a value is the result of a layer normalisation, as a single operator or written out: (x − mean) ÷ √(…) or x
/// ÷ √(…), then scaled and shifted by constants.
pub(super) fn is_normalisation(graph: &Graph, value: ValueId) -> bool {
    let Some(mut node) = producer(graph, value) else { return false };
    for _ in 0..2 {
        if let Some(inner) = affine_input(graph, node) {
            let Some(next) = producer(graph, inner) else { return false };
            node = next;
        }
    }
    if matches!(
        node.op.onnx_form().name,
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization"
    ) {
        return true;
    }
    let scales = matches!(node.op.kind(), Kind::Binary(BinaryFunction::Div | BinaryFunction::Mul));
    let inputs: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
    scales && matches!(inputs.as_slice(), &[a, b] if is_deviation(graph, b) || is_deviation(graph, a))
}

fn producer(graph: &Graph, value: ValueId) -> Option<&Node> {
    graph.producer(value).map(|id| graph.node(id))
}

/// Returns the other input of a sum or product with a constant.
fn affine_input(graph: &Graph, node: &Node) -> Option<ValueId> {
    matches!(node.op.kind(), Kind::Binary(BinaryFunction::Add | BinaryFunction::Mul)).then_some(())?;
    let &[Some(a), Some(b)] = node.inputs.as_slice() else { return None };
    match (graph.constant(a).is_some(), graph.constant(b).is_some()) {
        (false, true) => Some(a),
        (true, false) => Some(b),
        _ => None,
    }
}

/// True if a value is the root of a mean, or its reciprocal.
fn is_deviation(graph: &Graph, value: ValueId) -> bool {
    let (mut at, mut root) = (value, false);
    // A mean, possibly plus a small number, the root, possibly its reciprocal, and possibly a copy or two.
    for _ in 0..6 {
        let Some(node) = producer(graph, at) else { return false };
        match node.op.kind() {
            Kind::Reduce(reduce) => return root && reduce.function == ReduceFunction::Mean,
            Kind::Unary(UnaryFunction::Sqrt) | Kind::Binary(BinaryFunction::Pow) => root = true,
            _ => {}
        }
        let inputs = || node.inputs.iter().flatten();
        match inputs().find(|i| graph.constant(**i).is_none()) {
            Some(&next) => at = next,
            None => return false,
        }
    }
    false
}
