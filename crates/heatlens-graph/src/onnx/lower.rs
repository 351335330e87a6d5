//! Rewriting of non-standard operators in standard ONNX operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::Dim;
use crate::graph::{Graph, Node, Origin, ValueId};
use crate::op::expand::Expand;
use crate::op::identity::Identity;
use crate::op::layer_normalization::LayerNormalization;
use crate::op::{OnnxForm, at, to_axes};
use crate::tensor::Tensor;

/// Maximum number of rewriting rounds: a replacement may itself contain non-standard operators.
const ROUNDS: usize = 8;

/// Returns the graph in standard operators, or `None` if it is standard already. Names of inputs, outputs and all nodes
/// that remain are kept.
///
/// # Errors
/// If an operator cannot be expressed in standard operators.
pub(super) fn lowered(graph: &Graph) -> Result<Option<Graph>, GraphError> {
    let mut current: Option<Graph> = None;
    for _ in 0..ROUNDS {
        let latest = current.as_ref().unwrap_or(graph);
        if !latest.nodes().iter().any(|n| is_internal(latest, n)) {
            return Ok(current);
        }
        current = Some(round(latest)?);
    }
    let latest = current.as_ref().unwrap_or(graph);
    match latest.nodes().iter().find(|n| is_internal(latest, n)) {
        Some(node) => Err(no_form(node)),
        None => Ok(current),
    }
}

/// Returns the standard written form of a node, if a single standard node can express it.
pub(super) fn standard_form(graph: &Graph, node: &Node) -> Option<OnnxForm> {
    let onnx_form = node.op.onnx_form();
    // ONNX requires a scale for this operator.
    let scaled = node.inputs.get(1).is_some_and(Option::is_some);
    if node.op.downcast_ref::<LayerNormalization>().is_some() && !scaled {
        return None;
    }
    if onnx_form.standard {
        return Some(onnx_form);
    }
    let expand = node.op.downcast_ref::<Expand>()?;
    let x = &graph.fact(node.inputs.first().copied().flatten()?).shape;
    let new_axes = expand.shape.rank().checked_sub(x.rank())?;
    let (front, rest) = expand.shape.0.split_at(new_axes);
    let has_it = |(wanted, own): (&Dim, &Dim)| !wanted.is_batch() || wanted == own;
    if front.iter().any(|d| d.is_batch()) || !rest.iter().zip(&x.0).all(has_it) {
        return None;
    }
    // The batch axis is present already, and ONNX broadcasts a size of 1 in its place.
    let sizes: Vec<usize> = expand.shape.0.iter().map(|d| if d.is_batch() { 1 } else { d.at(1) }).collect();
    Some(OnnxForm::new(onnx_form.name).with_constant(Tensor::i64(&to_axes(&sizes))))
}

fn is_internal(graph: &Graph, node: &Node) -> bool {
    standard_form(graph, node).is_none()
}

pub(super) fn no_form(node: &Node) -> GraphError {
    at(node, OpError::Unsupported("writing this operator as standard ONNX".to_owned()))
}

/// Replaces every non-standard operator once.
fn round(graph: &Graph) -> Result<Graph, GraphError> {
    let mut new = Graph::new(&graph.name);
    new.metadata.clone_from(&graph.metadata);
    let mut map: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for &id in graph.inputs() {
        map.insert(id, new.add_input(&graph.value(id).name, graph.fact(id).clone()));
    }
    for id in graph.value_ids() {
        if let Origin::Constant(tensor) = &graph.value(id).origin {
            map.insert(id, new.add_constant(&graph.value(id).name, tensor.clone()));
        }
    }
    for node in graph.nodes() {
        let inputs: Vec<_> = node.inputs.iter().map(|i| i.and_then(|i| map.get(&i).copied())).collect();
        let values = if is_internal(graph, node) {
            replace(graph, node, inputs, &mut new)?
        } else {
            copy(graph, node, &inputs, &mut new)?
        };
        map.extend(node.outputs.iter().copied().zip(values));
    }
    let outputs: Vec<_> = graph.outputs().iter().filter_map(|o| map.get(o).copied()).collect();
    new.set_outputs(&outputs);
    Ok(new)
}

fn copy(
    graph: &Graph,
    node: &Node,
    inputs: &[Option<ValueId>],
    new: &mut Graph,
) -> Result<Vec<ValueId>, GraphError> {
    let names: Vec<String> = node.outputs.iter().map(|&o| graph.value(o).name.clone()).collect();
    let id = new.add_named_node(&node.name, Arc::clone(&node.op), inputs, &names)?;
    new.set_node_metadata(id, node.metadata.clone());
    Ok(new.node(id).outputs.clone())
}

fn replace(
    graph: &Graph,
    node: &Node,
    inputs: Vec<Option<ValueId>>,
    new: &mut Graph,
) -> Result<Vec<ValueId>, GraphError> {
    let placed = Node { inputs, ..node.clone() };
    let mut values =
        node.op.lower(&mut Builder::new(new, &node.name), &placed)?.ok_or_else(|| no_form(node))?;
    if values.len() != node.outputs.len() {
        return Err(no_form(node));
    }
    for (value, &old) in values.iter_mut().zip(&node.outputs) {
        if graph.outputs().contains(&old) {
            let name = graph.value(old).name.clone();
            let id = new.add_named_node(
                &name,
                Arc::new(Identity::Identity),
                &[Some(*value)],
                std::slice::from_ref(&name),
            )?;
            *value = new.node(id).outputs.first().copied().unwrap_or(*value);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
