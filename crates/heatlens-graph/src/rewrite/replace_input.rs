//! Replacement of graph inputs by one of another layout, or by constants.

use std::sync::Arc;

use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::Fact;
use crate::graph::{Graph, Origin, ValueId};
use crate::rewrite::Simplified;
use crate::tensor::Tensor;

/// Builds a graph whose only input has `input`'s name and the type and shape `fact`; `arrange` converts it to the value
/// that nodes read before. Nodes and outputs that need other inputs are omitted.
///
/// # Errors
/// If the value returned by `arrange` does not fit.
pub fn replace_input(
    graph: &Graph,
    input: ValueId,
    fact: Fact,
    arrange: impl FnOnce(&mut Builder<'_>, ValueId) -> Result<ValueId, GraphError>,
) -> Result<Simplified, GraphError> {
    let mut new = Graph::new(&graph.name);
    new.metadata.clone_from(&graph.metadata);
    let name = graph.value(input).name.clone();
    let image = new.add_input(&name, fact);
    let mut map: Vec<Option<ValueId>> = vec![None; graph.values().len()];
    map[input.index()] = Some(arrange(&mut Builder::new(&mut new, &name), image)?);
    rebuild(graph, new, map)
}

/// Builds a graph in which constants replace inputs; an array with one row is used for every sample.
///
/// # Errors
/// If an array does not fit its input.
pub fn fix_inputs(graph: &Graph, arrays: &[(ValueId, Tensor)]) -> Result<Graph, GraphError> {
    let mut new = Graph::new(&graph.name);
    new.metadata.clone_from(&graph.metadata);
    let mut map: Vec<Option<ValueId>> = vec![None; graph.values().len()];
    for &input in graph.inputs() {
        let (name, fact) = (&graph.value(input).name, graph.fact(input).clone());
        map[input.index()] = Some(match arrays.iter().find(|(fixed, _)| *fixed == input) {
            Some((_, array)) => {
                let stored = new.add_constant(name, array.clone());
                Builder::new(&mut new, name).expand(stored, fact.shape)?
            }
            None => new.add_input(name, fact),
        });
    }
    Ok(rebuild(graph, new, map)?.graph)
}

/// Adds the constants and nodes of `graph` to `new`, except nodes that depend on missing inputs.
fn rebuild(graph: &Graph, mut new: Graph, mut map: Vec<Option<ValueId>>) -> Result<Simplified, GraphError> {
    for id in graph.value_ids() {
        if let Origin::Constant(tensor) = &graph.value(id).origin {
            map[id.index()] = Some(new.add_constant(&graph.value(id).name, tensor.clone()));
        }
    }
    for node in graph.nodes() {
        let inputs: Option<Vec<Option<ValueId>>> =
            node.inputs.iter().map(|i| i.map_or(Some(None), |i| map[i.index()].map(Some))).collect();
        let Some(inputs) = inputs else { continue };
        let names: Vec<String> = node.outputs.iter().map(|&o| graph.value(o).name.clone()).collect();
        let id = new.add_named_node(&node.name, Arc::clone(&node.op), &inputs, &names)?;
        new.set_node_metadata(id, node.metadata.clone());
        for (old, &output) in node.outputs.iter().zip(&new.node(id).outputs) {
            map[old.index()] = Some(output);
        }
    }
    let outputs: Vec<ValueId> = graph.outputs().iter().filter_map(|o| map[o.index()]).collect();
    new.set_outputs(&outputs);
    Ok(Simplified { graph: new, map })
}
