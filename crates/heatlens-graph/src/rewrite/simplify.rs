//! Dead code elimination, constant folding and common subexpression elimination.
//!
//! This makes it cheap to compute many methods together: each method derives its own formula from the network, and what
//! two of them share is computed by one node.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{GraphError, OpError};
use crate::graph::{Graph, Node, Origin, ValueId};
use crate::op::at;
use crate::tensor::{Data, Tensor};

/// Simplified graph, with a map from old to new values.
#[derive(Clone, Debug)]
pub struct Simplified {
    /// The new graph. It has the inputs of the old one, in order, and the wanted values as outputs.
    pub graph: Graph,
    /// For each value of the old graph, the equal value of the new one.
    pub map: Vec<Option<ValueId>>,
}

/// Returns for every node whether one of `wanted` depends on it.
#[must_use]
pub fn needed_nodes(graph: &Graph, wanted: &[ValueId]) -> Vec<bool> {
    let mut values = vec![false; graph.values().len()];
    for id in wanted {
        values[id.index()] = true;
    }
    let mut nodes = vec![false; graph.nodes().len()];
    for (index, node) in graph.nodes().iter().enumerate().rev() {
        if node.outputs.iter().any(|o| values[o.index()]) {
            nodes[index] = true;
            for input in node.inputs.iter().flatten() {
                values[input.index()] = true;
            }
        }
    }
    nodes
}

/// Key of a computation: the operator's debug text and its inputs in the new graph.
type Key = (String, Vec<Option<ValueId>>);

/// Builds a graph that computes only `wanted`, with constants folded and equal computations merged. Constants that
/// would grow far beyond the size of the stored ones are not folded.
///
/// # Errors
/// If folding a constant fails, or a constant has more than 2^31 elements.
pub fn simplify(graph: &Graph, wanted: &[ValueId]) -> Result<Simplified, GraphError> {
    let mut new = Graph::new(&graph.name);
    new.metadata.clone_from(&graph.metadata);
    let mut map: Vec<Option<ValueId>> = vec![None; graph.values().len()];
    for &id in graph.inputs() {
        let value = graph.value(id);
        map[id.index()] = Some(new.add_input(&value.name, value.fact.clone()));
    }
    let needed = needed_nodes(graph, wanted);
    let mut constants = Constants::default();
    let mut folding = Folding::of(graph);
    let mut seen: HashMap<Key, Vec<ValueId>> = HashMap::new();
    let mut mapped = |new: &mut Graph, map: &mut Vec<Option<ValueId>>, id: ValueId| {
        if let (None, Origin::Constant(tensor)) = (map[id.index()], &graph.value(id).origin) {
            map[id.index()] = Some(constants.add(new, &graph.value(id).name, tensor));
        }
        map[id.index()]
    };
    for (node, _) in graph.nodes().iter().zip(needed).filter(|(_, needed)| *needed) {
        let inputs: Vec<Option<ValueId>> =
            node.inputs.iter().map(|i| i.and_then(|i| mapped(&mut new, &mut map, i))).collect();
        let key = (format!("{:?}", node.op), inputs.clone());
        let outputs = match seen.get(&key) {
            Some(outputs) => outputs.clone(),
            None => rebuild(graph, node, &inputs, &mut new, &mut folding)?,
        };
        for (old, &id) in node.outputs.iter().zip(&outputs) {
            map[old.index()] = Some(id);
        }
        seen.insert(key, outputs);
    }
    let mut outputs = Vec::new();
    for &id in wanted {
        outputs.extend(mapped(&mut new, &mut map, id));
    }
    new.set_outputs(&outputs);
    Ok(Simplified { graph: new, map })
}

/// Budget for constant folding, in elements.
struct Folding {
    left: usize,
}

impl Folding {
    /// Budget for any graph, in elements.
    const ANY: usize = 1 << 25;
    /// Additional budget per stored element, for transposed and scaled weights.
    const OF_STORED: usize = 4;
    /// Maximum number of elements of a constant; larger ones are rejected instead of being computed in every run.
    const MOST: usize = 1 << 31;

    fn of(graph: &Graph) -> Self {
        let stored = graph.values().iter().filter_map(|value| match &value.origin {
            Origin::Constant(tensor) => Some(tensor.len()),
            _ => None,
        });
        let stored = stored.fold(0usize, usize::saturating_add);
        Self { left: Self::ANY.saturating_add(stored.saturating_mul(Self::OF_STORED)) }
    }

    /// True if a node whose outputs have these sizes is folded. Otherwise it is left to run time, where the memory a
    /// program needs is compared with the memory available.
    fn takes(&mut self, node: &Node, shapes: &[Vec<usize>]) -> Result<bool, GraphError> {
        let len = shapes.iter().map(|s| s.iter().product::<usize>()).fold(0, usize::saturating_add);
        if len > Self::MOST {
            let what = format!("a constant of {len} elements, expected at most {}", Self::MOST);
            return Err(at(node, OpError::Invalid(what)));
        }
        let takes = len <= self.left;
        if takes {
            self.left -= len;
        }
        Ok(takes)
    }
}

/// Adds a node to the new graph, or its result if every input is constant.
fn rebuild(
    graph: &Graph,
    node: &Node,
    inputs: &[Option<ValueId>],
    new: &mut Graph,
    folding: &mut Folding,
) -> Result<Vec<ValueId>, GraphError> {
    let names: Vec<String> = node.outputs.iter().map(|&o| graph.value(o).name.clone()).collect();
    let constants: Vec<Option<&Tensor>> = inputs.iter().map(|i| i.and_then(|i| new.constant(i))).collect();
    let shapes: Vec<_> = node.outputs.iter().map(|&o| &graph.fact(o).shape).collect();
    let fixed = shapes.iter().all(|s| !s.has_batch());
    let known = inputs.iter().zip(&constants).all(|(input, tensor)| input.is_none() || tensor.is_some());
    if fixed && known {
        let shapes: Vec<Vec<usize>> = shapes.iter().map(|s| s.at(1)).collect();
        if folding.takes(node, &shapes)? {
            let results = node.op.eval(&constants, &shapes).map_err(|e| at(node, e))?;
            return Ok(names
                .iter()
                .zip(results)
                .map(|(name, t)| new.add_constant(name, single(t)))
                .collect());
        }
    }
    let id = new.add_named_node(&node.name, Arc::clone(&node.op), inputs, &names)?;
    new.set_node_metadata(id, node.metadata.clone());
    Ok(new.node(id).outputs.clone())
}

/// Converts results of the evaluator back to single precision.
#[allow(clippy::cast_possible_truncation)]
fn single(tensor: Tensor) -> Tensor {
    match tensor.data() {
        Data::F64(values) => Tensor::f32(tensor.shape(), values.iter().map(|&v| v as f32).collect()),
        _ => tensor,
    }
}

/// Small constants by content, so that the zeros and ones of derivatives are stored once.
#[derive(Default)]
struct Constants {
    seen: HashMap<(Vec<usize>, Vec<u64>, crate::DType), ValueId>,
}

impl Constants {
    const SMALL: usize = 64;

    fn add(&mut self, graph: &mut Graph, name: &str, tensor: &Tensor) -> ValueId {
        if tensor.len() > Self::SMALL {
            return graph.add_constant(name, tensor.clone());
        }
        let bits = match tensor.data() {
            Data::I64(v) => v.iter().map(|v| v.cast_unsigned()).collect(),
            _ => tensor.to_f64().into_iter().map(f64::to_bits).collect(),
        };
        let key = (tensor.shape().to_vec(), bits, tensor.dtype());
        *self.seen.entry(key).or_insert_with(|| graph.add_constant(name, tensor.clone()))
    }
}
