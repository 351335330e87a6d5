//! What the first layer behind an input takes for channels.
//!
//! Sizes deceive: N×11×60×1 is a picture of one channel or eleven signals of one column. A convolution does not: it reads
//! channels along axis 1, so the axis that stands there when the first one reads the image holds them.

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

/// Which axis of the input stands at each axis of a value.
type Order = [usize; 4];

/// Behind more nodes than this nobody has looked at the image yet that will.
const MOST_NODES: usize = 256;

/// The axis of a four-dimensional input that the first convolution, pooling or normalisation behind it takes for channels.
pub(super) fn channel_axis(graph: &Graph, uses: &Uses, input: ValueId) -> Option<usize> {
    // Nodes in their order: the first that reads channels is the first in the file.
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

/// Whether a node takes axis 1 for channels.
fn reads_channels(node: &Node) -> bool {
    let op = &node.op;
    op.downcast_ref::<Conv>().is_some()
        || op.downcast_ref::<MaxPool>().is_some()
        || op.downcast_ref::<AveragePool>().is_some()
        || op.downcast_ref::<GlobalPool>().is_some()
        || op.downcast_ref::<BatchNormalization>().is_some()
}

/// The order of axes behind a node that keeps the image an image.
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

/// The order behind a reshape that only moves an axis of size 1: some exporters write so what others write as a transposition.
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
