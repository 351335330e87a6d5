//! Nodes of a file that become several nodes of the graph.

use super::proto::to_map;
use super::scope::{Outputs, Problem, Scope, Slot};
use crate::builder::Builder;
use crate::error::GraphError;
use crate::graph::ValueId;
use crate::op::identity::Identity;

impl Scope<'_> {
    /// Expresses the node as a formula over its inputs, whose result becomes the node's output.
    pub(super) fn formula(
        &mut self,
        write: impl FnOnce(&mut Builder<'_>) -> Result<ValueId, GraphError>,
    ) -> Result<Outputs, Problem> {
        self.formulas(|b| write(b).map(|y| vec![y]))
    }

    /// Expresses the node as a formula over its inputs, whose results become the node's outputs in order. The last node
    /// of the formula gets the name of the node; all of its nodes get the exporter's metadata.
    pub(super) fn formulas(
        &mut self,
        write: impl FnOnce(&mut Builder<'_>) -> Result<Vec<ValueId>, GraphError>,
    ) -> Result<Outputs, Problem> {
        let first = self.reading.graph.nodes().len();
        let mut builder = Builder::new(&mut self.reading.graph, self.name);
        let mut results = write(&mut builder)?;
        for i in 0..results.len() {
            let made = builder.graph().producer(results[i]).is_some_and(|node| node.index() >= first);
            if !made || results[..i].contains(&results[i]) {
                // A result is an unchanged input or occurs twice: each output of the node must be a separate value.
                results[i] = builder.apply(Identity::Identity, &[results[i]])?;
            }
        }
        let graph = &mut self.reading.graph;
        for (i, &result) in results.iter().enumerate() {
            let node_name = if i == 0 { self.name.to_owned() } else { format!("{}:{i}", self.name) };
            let name = self.node.output.get(i).filter(|name| !name.is_empty());
            graph.rename(result, name.map_or(&node_name, |name| name), &node_name);
        }
        for node in graph.node_ids().skip(first) {
            graph.set_node_metadata(node, to_map(&self.node.metadata_props));
        }
        Ok(results.into_iter().map(Slot::Value).collect())
    }
}
