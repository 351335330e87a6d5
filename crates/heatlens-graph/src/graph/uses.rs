//! Index of the nodes that read each value of a graph.

use crate::graph::{Graph, NodeId, ValueId};

/// Index of the nodes that read each value of a graph, as of the time it was built.
///
/// ```
/// use heatlens_graph::{Builder, Fact, Graph, Shape};
/// let mut graph = Graph::new("square");
/// let x = graph.add_input("x", Fact::f32(Shape::batched(&[2])));
/// let y = Builder::new(&mut graph, "f").mul(x, x)?;
/// let uses = graph.uses();
/// assert_eq!(uses.of(x), [graph.producer(y).unwrap()]);
/// assert!(uses.of(y).is_empty());
/// # Ok::<(), heatlens_graph::GraphError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Uses {
    /// For each value, the start of its readers in `readers`; one more entry holds the length of `readers`.
    starts: Vec<usize>,
    /// Readers of all values, grouped by value, each group in graph order.
    readers: Vec<NodeId>,
}

impl Uses {
    /// Builds the index in two passes over the nodes: one counts the readers of each value, one stores them.
    pub(super) fn new(graph: &Graph) -> Self {
        let mut starts = vec![0; graph.values().len() + 1];
        for_each_use(graph, |value, _| starts[value.index() + 1] += 1);
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut readers = vec![NodeId(0); starts.last().copied().unwrap_or(0)];
        let mut next = starts.clone();
        for_each_use(graph, |value, node| {
            readers[next[value.index()]] = node;
            next[value.index()] += 1;
        });
        Self { starts, readers }
    }

    /// Returns the nodes that read a value, in order. A node that reads it twice is listed once.
    ///
    /// # Panics
    /// If `id` was added to the graph after the index was built.
    #[must_use]
    pub fn of(&self, id: ValueId) -> &[NodeId] {
        &self.readers[self.starts[id.index()]..self.starts[id.index() + 1]]
    }

    /// Returns the node that reads a value, if there is exactly one.
    ///
    /// # Panics
    /// Same as [`of`](Self::of).
    #[must_use]
    pub fn only(&self, id: ValueId) -> Option<NodeId> {
        match self.of(id) {
            &[only] => Some(only),
            _ => None,
        }
    }
}

/// Calls `visit` once for each pair of a node and a value it reads.
fn for_each_use(graph: &Graph, mut visit: impl FnMut(ValueId, NodeId)) {
    // Comparing with the last reader of each value finds repeated inputs, however many inputs a node has.
    let mut last: Vec<Option<NodeId>> = vec![None; graph.values().len()];
    for (id, node) in graph.node_ids().zip(graph.nodes()) {
        for &value in node.inputs.iter().flatten() {
            if last[value.index()].replace(id) != Some(id) {
                visit(value, id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::builder::Builder;
    use crate::fact::{Fact, Shape};

    /// Linear scan over all nodes, the definition of the index.
    fn scan(graph: &Graph, id: ValueId) -> Vec<NodeId> {
        graph.node_ids().filter(|&node| graph.node(node).inputs.contains(&Some(id))).collect()
    }

    #[test]
    fn the_index_is_what_a_scan_finds() {
        let mut graph = Graph::new("net");
        let x = graph.add_input("x", Fact::f32(Shape::batched(&[3])));
        let unused = graph.add_input("unused", Fact::f32(Shape::batched(&[3])));
        let mut b = Builder::new(&mut graph, "f");
        let square = b.mul(x, x).unwrap();
        let double = b.scale(x, 2.0).unwrap();
        let sum = b.add(square, double).unwrap();
        let sum = b.add(sum, x).unwrap();
        graph.set_outputs(&[sum]);
        let uses = graph.uses();
        for id in graph.value_ids() {
            assert_eq!(uses.of(id), scan(&graph, id), "{id:?}");
        }
        assert_eq!((uses.of(x).len(), uses.of(unused).len(), uses.of(sum).len()), (3, 0, 0));
        assert_eq!((uses.only(x), uses.only(square)), (None, graph.producer(sum).map(|n| NodeId(n.0 - 1))));
    }
}
