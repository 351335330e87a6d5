//! Detection of the channel axis from the first layer that reads the input.
//!
//! Sizes are ambiguous: N×11×60×1 may be an image with one channel or eleven signals of one column. A convolution is
//! not: it reads channels along axis 1, so the input axis that is at axis 1 when the first convolution reads the image
//! holds the channels.

use std::collections::BTreeMap;

use heatlens_graph::op::batch_normalization::BatchNormalization;
use heatlens_graph::op::binary::Binary;
use heatlens_graph::op::cast::Cast;
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::conv::Conv;
use heatlens_graph::op::gather::Gather;
use heatlens_graph::op::global_pool::GlobalPool;
use heatlens_graph::op::identity::Identity;
use heatlens_graph::op::pad::Pad;
use heatlens_graph::op::pool::{AveragePool, MaxPool};
use heatlens_graph::op::reshape::Reshape;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::transpose::Transpose;
use heatlens_graph::op::unary::Unary;
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
    let op = &node.op;
    op.downcast_ref::<Conv>().is_some()
        || op.downcast_ref::<MaxPool>().is_some()
        || op.downcast_ref::<AveragePool>().is_some()
        || op.downcast_ref::<GlobalPool>().is_some()
        || op.downcast_ref::<BatchNormalization>().is_some()
}

/// Returns the order of axes after a node that preserves the image's axes.
fn passed(graph: &Graph, node: &Node, value: ValueId, order: Order) -> Option<Order> {
    let op = &node.op;
    let output = *node.outputs.first()?;
    if graph.fact(output).shape.rank() != 4 {
        return None;
    }
    if let Some(transpose) = op.downcast_ref::<Transpose>() {
        let perm: [usize; 4] = transpose.perm.clone().try_into().ok()?;
        return Some(perm.map(|axis| order[axis]));
    }
    if op.downcast_ref::<Reshape>().is_some() {
        return reshaped(graph, value, output, order);
    }
    let keeps = op.downcast_ref::<Binary>().is_some()
        || op.downcast_ref::<Unary>().is_some()
        || op.downcast_ref::<Cast>().is_some()
        || op.downcast_ref::<Identity>().is_some()
        || op.downcast_ref::<Clip>().is_some()
        || op.downcast_ref::<Pad>().is_some()
        || op.downcast_ref::<Slice>().is_some()
        || op.downcast_ref::<Concat>().is_some()
        || op.downcast_ref::<Gather>().is_some_and(|gather| gather.shape.len() == 1);
    keeps.then_some(order)
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
