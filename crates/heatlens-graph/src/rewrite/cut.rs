//! Extraction of the part of a graph that depends on a value.

use std::sync::Arc;

use crate::differentiate::depends_on;
use crate::error::GraphError;
use crate::graph::{Graph, Origin, ValueId};
use crate::rewrite::needed_nodes;

/// Part of a graph that starts at one of its values.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The new graph. Its inputs are the value at the cut, then those listed in [`crossing`](Self::crossing).
    pub graph: Graph,
    /// Value at the cut, in the new graph.
    pub input: ValueId,
    /// Other values of the original graph that nodes after the cut read (skip connections, other inputs); further
    /// inputs of the new graph, in this order.
    pub crossing: Vec<ValueId>,
    /// Wanted values, in the new graph.
    pub outputs: Vec<ValueId>,
}

/// Extracts the graph that computes `wanted` with `at` as an input. Nodes that do not depend on `at` are not part of
/// it: their values do not change with `at`.
///
/// # Errors
/// If one of `wanted` does not depend on `at`.
pub fn cut(graph: &Graph, at: ValueId, wanted: &[ValueId]) -> Result<Tail, GraphError> {
    let behind = depends_on(graph, &[at]);
    let mut tail = Graph::new(&graph.name);
    let mut map: Vec<Option<ValueId>> = vec![None; graph.values().len()];
    let mut crossing = Vec::new();
    let value = |id: ValueId| graph.value(id);
    let input = tail.add_input(&value(at).name, value(at).fact.clone());
    map[at.index()] = Some(input);
    let needed = needed_nodes(graph, wanted);
    let first_behind = |id: &ValueId| behind[id.index()] && *id != at;
    for (node, _) in graph.nodes().iter().zip(needed).filter(|(_, needed)| *needed) {
        if !node.outputs.iter().any(first_behind) {
            continue;
        }
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            let Some(id) = *input else {
                inputs.push(None);
                continue;
            };
            let mapped = map[id.index()].unwrap_or_else(|| match &value(id).origin {
                Origin::Constant(tensor) => tail.add_constant(&value(id).name, tensor.clone()),
                _ => {
                    crossing.push(id);
                    tail.add_input(&value(id).name, value(id).fact.clone())
                }
            });
            map[id.index()] = Some(mapped);
            inputs.push(Some(mapped));
        }
        let names: Vec<String> = node.outputs.iter().map(|&o| value(o).name.clone()).collect();
        let id = tail.add_named_node(&node.name, Arc::clone(&node.op), &inputs, &names)?;
        for (old, &new) in node.outputs.iter().zip(&tail.node(id).outputs) {
            map[old.index()] = Some(new);
        }
    }
    let output = |id: &ValueId| {
        let found = map[id.index()].filter(|_| behind[id.index()]);
        found.ok_or_else(|| GraphError::Unreachable { value: value(at).name.clone() })
    };
    let outputs = wanted.iter().map(output).collect::<Result<Vec<_>, _>>()?;
    tail.set_outputs(&outputs);
    Ok(Tail { graph: tail, input, crossing, outputs })
}

/// Appends `wanted` as it would be if `at` were replaced with `instead`, of the same type and shape, by copying the
/// nodes between `at` and `wanted`. Returns `wanted` itself if `instead` is `at`.
///
/// # Errors
/// If `wanted` does not depend on `at`, or an operator rejects its inputs.
pub fn replay(
    graph: &mut Graph,
    at: ValueId,
    instead: ValueId,
    wanted: ValueId,
) -> Result<ValueId, GraphError> {
    let behind = depends_on(graph, &[at]);
    if !behind[wanted.index()] {
        return Err(GraphError::Unreachable { value: graph.value(at).name.clone() });
    }
    if instead == at {
        return Ok(wanted);
    }
    let needed = needed_nodes(graph, &[wanted]);
    let mut map: Vec<Option<ValueId>> = vec![None; graph.values().len()];
    map[at.index()] = Some(instead);
    let nodes: Vec<_> = graph.nodes().iter().zip(needed).filter(|n| n.1).map(|n| n.0.clone()).collect();
    for node in nodes {
        if !node.outputs.iter().any(|o| behind[o.index()] && *o != at) {
            continue;
        }
        let inputs: Vec<_> = node.inputs.iter().map(|i| i.map(|i| map[i.index()].unwrap_or(i))).collect();
        let id = graph.add_node(&node.name, Arc::clone(&node.op), &inputs)?;
        for (old, &new) in node.outputs.iter().zip(&graph.node(id).outputs) {
            map[old.index()] = Some(new);
        }
    }
    map[wanted.index()].ok_or_else(|| GraphError::Unreachable { value: graph.value(at).name.clone() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::builder::Builder;
    use crate::fact::{Fact, Shape};
    use crate::reference;
    use crate::tensor::Tensor;

    /// y = 2·(3x + 1) + x, cut at 3x + 1: x crosses the cut.
    #[test]
    fn the_tail_takes_what_crosses() {
        let mut graph = Graph::new("net");
        let x = graph.add_input("x", Fact::f32(Shape::batched(&[2])));
        let mut b = Builder::new(&mut graph, "f");
        let three = b.scale(x, 3.0).unwrap();
        let one = b.scalar(1.0);
        let at = b.add(three, one).unwrap();
        let two = b.scale(at, 2.0).unwrap();
        let y = b.add(two, x).unwrap();
        let tail = cut(&graph, at, &[y]).unwrap();
        assert_eq!(tail.crossing, [x]);
        assert_eq!(tail.graph.nodes().len(), 2, "the part before the cut is gone");
        let feeds = [Tensor::f32(&[1, 2], vec![10.0, 0.0]), Tensor::f32(&[1, 2], vec![1.0, 5.0])];
        let values = reference::run(&tail.graph, &feeds, 1, &tail.outputs).unwrap();
        assert_eq!(values[0].to_f64(), [21.0, 5.0]);
        assert!(cut(&graph, y, &[at]).is_err(), "what is wanted lies before the cut");
    }

    /// Same graph with x in place of 3x + 1: y = 2x + x.
    #[test]
    fn a_part_is_played_again_from_another_value() {
        let mut graph = Graph::new("net");
        let x = graph.add_input("x", Fact::f32(Shape::batched(&[2])));
        let mut b = Builder::new(&mut graph, "f");
        let at = b.scale(x, 3.0).unwrap();
        let two = b.scale(at, 2.0).unwrap();
        let y = b.add(two, x).unwrap();
        let again = replay(&mut graph, at, x, y).unwrap();
        let feed = [Tensor::f32(&[1, 2], vec![10.0, 1.0])];
        let values = reference::run(&graph, &feed, 1, &[y, again]).unwrap();
        assert_eq!((values[0].to_f64(), values[1].to_f64()), (vec![70.0, 7.0], vec![30.0, 3.0]));
        assert_eq!(replay(&mut graph, at, at, y).unwrap(), y);
        assert!(replay(&mut graph, y, x, at).is_err());
    }
}
