//! Detection of the channel axis from the first layer that reads the input.
//!
//! Sizes are ambiguous: N×11×60×1 may be an image with one channel or eleven signals of one column. A convolution is
//! not: it reads channels along axis 1, so the input axis that is at axis 1 when the first convolution reads the image
//! holds the channels.

use std::collections::BTreeMap;

use heatlens_graph::op::Kind;
use heatlens_graph::{Graph, Node, NodeId, Uses, ValueId};

/// Input axis at each axis of a value.
type Order = [usize; 4];

/// Maximum number of nodes that are searched for the first layer that reads channels.
const MOST_NODES: usize = 256;

/// Returns the axis of a four-dimensional input that the first convolution, pooling or normalisation uses as channels.
pub(super) fn channel_axis(graph: &Graph, uses: &Uses, input: ValueId) -> Option<usize> {
    // Nodes in order: the first one that reads channels is the first in the file.
    let mut open: BTreeMap<NodeId, (ValueId, Order)> = BTreeMap::new();
    let reached = |value: ValueId, order: Order, open: &mut BTreeMap<NodeId, (ValueId, Order)>| {
        for &node in uses.of(value) {
            open.entry(node).or_insert((value, order));
        }
    };
    reached(input, [0, 1, 2, 3], &mut open);
    for _ in 0..MOST_NODES {
        let (id, (value, order)) = open.pop_first()?;
        let node = graph.node(id);
        if reads_channels(node) {
            return Some(order[1]);
        }
        if let Some(order) = passed(graph, node, value, order) {
            node.outputs.iter().for_each(|&output| reached(output, order, &mut open));
        }
    }
    None
}

/// True if a node uses axis 1 as channels.
fn reads_channels(node: &Node) -> bool {
    matches!(
        node.op.kind(),
        Kind::Conv(_)
            | Kind::MaxPool(_)
            | Kind::AveragePool(_)
            | Kind::GlobalPool(_)
            | Kind::BatchNormalization(_)
    )
}

/// Returns the order of axes after a node that preserves the image's axes.
fn passed(graph: &Graph, node: &Node, value: ValueId, order: Order) -> Option<Order> {
    let output = *node.outputs.first()?;
    if graph.fact(output).shape.rank() != 4 {
        return None;
    }
    match node.op.kind() {
        Kind::Transpose(transpose) => {
            let perm: [usize; 4] = transpose.perm.clone().try_into().ok()?;
            Some(perm.map(|axis| order[axis]))
        }
        Kind::Reshape => reshaped(graph, value, output, order),
        Kind::Gather(gather) => (gather.shape.len() == 1).then_some(order),
        Kind::Binary(_)
        | Kind::Unary(_)
        | Kind::Cast(_)
        | Kind::Identity
        | Kind::Clip(_)
        | Kind::Elementwise
        | Kind::Pad(_)
        | Kind::Slice(_)
        | Kind::Concat(_) => Some(order),
        _ => None,
    }
}

/// Returns the order of axes after a reshape that only moves an axis of size 1, which some exporters write instead of a
/// transposition.
fn reshaped(graph: &Graph, from: ValueId, to: ValueId, order: Order) -> Option<Order> {
    let (from, to) = (&graph.fact(from).shape.0, &graph.fact(to).shape.0);
    let axes = |dims: &[heatlens_graph::Dim], one: bool| -> Vec<usize> {
        (0..dims.len()).filter(|&axis| dims[axis].is_one() == one).collect()
    };
    let (wide, narrow) = (axes(from, false), axes(from, true));
    let (wide_after, narrow_after) = (axes(to, false), axes(to, true));
    let same = wide.iter().map(|&a| from[a]).eq(wide_after.iter().map(|&a| to[a]));
    if !same || narrow.len() != narrow_after.len() {
        return None;
    }
    let mut new = order;
    for (before, after) in wide.into_iter().zip(wide_after).chain(narrow.into_iter().zip(narrow_after)) {
        new[after] = order[before];
    }
    Some(new)
}
