//! Values and nodes.
//!
//! A [`Graph`] owns two lists. A *value* is an array with a name, an element type and a shape: an input, a constant, or
//! an output of a node. A *node* applies an operator to values. Nodes are stored in topological order: each follows the
//! nodes whose outputs it reads. Ids stay valid for the lifetime of a graph: rewrites create a new graph instead of
//! editing one that is in use.

mod names;
mod uses;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use uses::Uses;

use crate::error::{GraphError, OpError};
use crate::fact::Fact;
use crate::op::Operator;
use crate::tensor::Tensor;
use names::NameTable;

/// Identifies a value of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

/// Identifies a node of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl ValueId {
    /// Returns the position in [`Graph::values`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl NodeId {
    /// Returns the position in [`Graph::nodes`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Source of a value.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Fed by the caller in each run.
    Input,
    /// Stored in the model: a weight or another constant.
    Constant(Tensor),
    /// Output of a node, at the given output position.
    Node(NodeId, usize),
}

/// An array of the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// Name, unique in the graph.
    pub name: String,
    /// Element type and shape.
    pub fact: Fact,
    /// Source of the value.
    pub origin: Origin,
}

/// An operator applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name given by the model's author, or one derived from the operator.
    pub name: String,
    /// Operator applied by the node.
    pub op: Arc<dyn Operator>,
    /// Inputs; `None` for an optional input that is omitted.
    pub inputs: Vec<Option<ValueId>>,
    /// Outputs.
    pub outputs: Vec<ValueId>,
    /// Metadata the exporter attached to the node, such as module paths.
    pub metadata: BTreeMap<String, String>,
}

/// A network, or a program derived from one.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Name of the graph in the model file.
    pub name: String,
    /// Text entries of the model file by key (class names and preprocessing in files written by heatlens).
    pub metadata: BTreeMap<String, String>,
    values: Vec<Value>,
    nodes: Vec<Node>,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
    value_names: NameTable<ValueId>,
    node_names: NameTable<NodeId>,
}

impl Graph {
    /// Returns an empty graph.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Returns all values, in the order in which they were added.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Returns all nodes, each after the nodes whose outputs it reads.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the values fed by the caller.
    #[must_use]
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// Returns the values that a run returns.
    #[must_use]
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// Returns a value of this graph.
    ///
    /// # Panics
    /// If `id` belongs to another, larger graph.
    #[must_use]
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// Returns a node of this graph.
    ///
    /// # Panics
    /// If `id` belongs to another, larger graph.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Returns the element type and shape of a value.
    #[must_use]
    pub fn fact(&self, id: ValueId) -> &Fact {
        &self.value(id).fact
    }

    /// Returns the stored array of a value, if it is a constant.
    #[must_use]
    pub fn constant(&self, id: ValueId) -> Option<&Tensor> {
        match &self.value(id).origin {
            Origin::Constant(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// Returns the node that computes a value, if any.
    #[must_use]
    pub fn producer(&self, id: ValueId) -> Option<NodeId> {
        match self.value(id).origin {
            Origin::Node(node, _) => Some(node),
            _ => None,
        }
    }

    /// Builds an index of the nodes that read each value. Takes linear time: build it once per pass.
    #[must_use]
    pub fn uses(&self) -> Uses {
        Uses::new(self)
    }

    /// Returns the value called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.value_names.find(name)
    }

    /// Returns all value ids in order.
    pub fn value_ids(&self) -> impl DoubleEndedIterator<Item = ValueId> + use<> {
        (0..u32::try_from(self.values.len()).unwrap_or(u32::MAX)).map(ValueId)
    }

    /// Returns all node ids in order.
    pub fn node_ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(NodeId)
    }

    /// Adds a value fed by the caller. If the name is taken, a number is appended.
    pub fn add_input(&mut self, name: &str, fact: Fact) -> ValueId {
        let id = self.add_value(name, fact, Origin::Input);
        self.inputs.push(id);
        id
    }

    /// Adds a constant array. If the name is taken, a number is appended.
    pub fn add_constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        let fact = Fact { dtype: tensor.dtype(), shape: crate::Shape::fixed(tensor.shape()) };
        self.add_value(name, fact, Origin::Constant(tensor))
    }

    /// Applies an operator; its outputs are named after the node (`name`, or `name:1`, `name:2` …).
    ///
    /// # Errors
    /// If the operator rejects the inputs.
    pub fn add_node(
        &mut self,
        name: &str,
        op: Arc<dyn Operator>,
        inputs: &[Option<ValueId>],
    ) -> Result<NodeId, GraphError> {
        self.add_named_node(name, op, inputs, &[])
    }

    /// Applies an operator and names its outputs; outputs beyond `output_names` are named after the node. If the node
    /// name is taken, a number is appended.
    ///
    /// # Errors
    /// If the operator rejects the inputs.
    pub fn add_named_node(
        &mut self,
        name: &str,
        op: Arc<dyn Operator>,
        inputs: &[Option<ValueId>],
        output_names: &[String],
    ) -> Result<NodeId, GraphError> {
        let facts: Vec<Option<&Fact>> = inputs.iter().map(|i| i.map(|id| self.fact(id))).collect();
        let outputs = op.infer(&facts).and_then(within_memory).map_err(|source| GraphError::Node {
            node: name.to_owned(),
            op: op.onnx_form().name.to_owned(),
            source,
        })?;
        let id = NodeId(u32::try_from(self.nodes.len()).map_err(|_| too_large())?);
        self.check_names()?;
        let name = self.node_names.give(name, id, self.nodes.len());
        let outputs = outputs
            .into_iter()
            .enumerate()
            .map(|(i, fact)| {
                let own = if i == 0 { name.clone() } else { format!("{name}:{i}") };
                self.add_value(output_names.get(i).unwrap_or(&own), fact, Origin::Node(id, i))
            })
            .collect();
        let node = Node { name, op, inputs: inputs.to_vec(), outputs, metadata: BTreeMap::new() };
        self.nodes.push(node);
        Ok(id)
    }

    /// Renames a computed value and its node. If a name is taken, a number is appended.
    pub fn rename(&mut self, id: ValueId, value_name: &str, node_name: &str) {
        let Origin::Node(node, _) = self.value(id).origin else { return };
        self.value_names.take_back(&self.values[id.index()].name);
        self.values[id.index()].name = self.value_names.give(value_name, id, self.values.len());
        self.node_names.take_back(&self.nodes[node.index()].name);
        self.nodes[node.index()].name = self.node_names.give(node_name, node, self.nodes.len());
    }

    /// Sets the exporter's metadata of a node.
    pub fn set_node_metadata(&mut self, id: NodeId, metadata: BTreeMap<String, String>) {
        if let Some(node) = self.nodes.get_mut(id.index()) {
            node.metadata = metadata;
        }
    }

    /// Sets the values that a run returns.
    pub fn set_outputs(&mut self, outputs: &[ValueId]) {
        self.outputs = outputs.to_vec();
    }

    /// Turns a constant into an input of the same name, so that training can feed new values in each step.
    pub fn make_input(&mut self, id: ValueId) {
        let value = &mut self.values[id.index()];
        if matches!(value.origin, Origin::Constant(_)) {
            value.origin = Origin::Input;
            self.inputs.push(id);
        }
    }

    /// Replaces a constant with another of the same type and shape. Returns false, and changes nothing, if they differ.
    pub fn set_constant(&mut self, id: ValueId, tensor: Tensor) -> bool {
        let value = &mut self.values[id.index()];
        let fits = matches!(&value.origin, Origin::Constant(old) if old.shape() == tensor.shape() && old.dtype() == tensor.dtype());
        if fits {
            value.origin = Origin::Constant(tensor);
        }
        fits
    }

    /// Rejects graphs whose names take too many bytes in total: derived nodes prefix the names they derive from.
    fn check_names(&self) -> Result<(), GraphError> {
        let bytes = self.value_names.bytes() + self.node_names.bytes();
        if bytes <= MOST_NAME_BYTES {
            return Ok(());
        }
        Err(GraphError::Malformed(format!(
            "the names of its nodes and values take {bytes} bytes, expected at most {MOST_NAME_BYTES}"
        )))
    }

    fn add_value(&mut self, name: &str, fact: Fact, origin: Origin) -> ValueId {
        let id = ValueId(u32::try_from(self.values.len()).unwrap_or(u32::MAX));
        let name = self.value_names.give(name, id, self.values.len());
        self.values.push(Value { name, fact, origin });
        id
    }
}

/// Maximum total size of all names in bytes: enough for a million nodes with names of a hundred letters.
const MOST_NAME_BYTES: usize = 1 << 28;

/// Rejects values too large to address, so that later code can multiply the sizes of a value without overflow.
fn within_memory(facts: Vec<Fact>) -> Result<Vec<Fact>, OpError> {
    let bytes = |fact: &Fact| fact.shape.len_per_sample()?.checked_mul(size_of::<f64>());
    let fits = |fact: &Fact| bytes(fact).is_some_and(|bytes| isize::try_from(bytes).is_ok());
    match facts.iter().find(|fact| !fits(fact)) {
        Some(fact) => Err(OpError::Invalid(format!("a result of {} is larger than any memory", fact.shape))),
        None => Ok(facts),
    }
}

fn too_large() -> GraphError {
    GraphError::Malformed("more than 2^32 nodes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::op::pad::Pad;

    #[test]
    fn a_value_that_no_memory_holds_is_refused() {
        let mut graph = Graph::new("huge");
        let x = graph.add_input("x", Fact::f32(Shape::batched(&[3, 8, 8])));
        let mut pad = |rows: usize| {
            let pad = Pad { begin: vec![0; 4], end: vec![0, 0, rows, rows], value: 0.0 };
            graph.add_node("pad", Arc::new(pad), &[Some(x)])
        };
        assert!(pad(1 << 20).is_ok());
        let error = pad(1 << 40).unwrap_err().to_string();
        assert!(error.contains("larger than any memory"), "{error}");
        assert!(pad(1 << 30).is_err(), "bytes count, not elements");
    }
}
