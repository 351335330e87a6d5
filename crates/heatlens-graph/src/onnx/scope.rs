//! Access to a node while it is read: its inputs by name, and the nodes it becomes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::budget::Ledger;
use super::constant_folding::{self, Size};
use super::external::External;
use super::positions::{Form, Positions};
use super::proto::{NodeProto, to_map};
use crate::error::{GraphError, OpError};
use crate::fact::Fact;
use crate::graph::{Graph, ValueId};
use crate::op::pool::MaxPool;
use crate::op::{Operator, invalid};
use crate::tensor::{Data, Tensor};

/// Meaning of a name in the file.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// A stored array that no node has used as a value yet. Shapes and axes remain in this state: they become
    /// parameters of operators.
    Stored(Tensor),
    /// An array that depends on the batch size, for each of [`constant_folding::SAMPLES`], such as a list of sizes.
    Sizes([Tensor; 2]),
    /// An array that enumerates the samples and so grows with the batch, for each of [`super::batch_index::SAMPLES`], such as
    /// positions in a flattened batch.
    BatchIndex([Tensor; 2]),
    /// A value of the graph.
    Value(ValueId),
    /// An output of a node that could not be read.
    Lost,
    /// Indices or counts that the model chooses while it runs ([`super::selection`]); `depth` is the number of axes of the
    /// mask whose places they are, 0 for others.
    Chosen { depth: usize },
    /// Positions of the maxima of a pooling (`Indices` of `MaxPool`), which only an unpooling reads.
    Positions(Positions),
    /// A stored array that cannot be read, with the reason.
    Unreadable(OpError),
}

impl Slot {
    /// Returns the value of the graph, if it is one.
    pub(super) fn id(&self) -> Option<ValueId> {
        if let Self::Value(id) = self { Some(*id) } else { None }
    }
}

/// Results of a node, in the order of its outputs.
pub(super) type Outputs = Vec<Slot>;

/// Reason why a node could not be read.
#[derive(Debug)]
pub(super) enum Problem {
    /// An error of the node itself.
    Own(OpError),
    /// An earlier node could not be read, so the node cannot be checked.
    Upstream,
}

impl From<OpError> for Problem {
    fn from(error: OpError) -> Self {
        Self::Own(error)
    }
}

impl From<GraphError> for Problem {
    fn from(error: GraphError) -> Self {
        Self::Own(match error {
            GraphError::Node { source, .. } => source,
            other => invalid(other.to_string()),
        })
    }
}

/// State of reading a file.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) graph: Graph,
    pub(super) slots: HashMap<String, Slot>,
    pub(super) warnings: Vec<String>,
    /// The warnings as a set, to report each once.
    pub(super) warned: HashSet<String>,
    /// Sizes of stored arrays and of those computed from them.
    pub(super) ledger: Ledger,
    /// Names of values that hold all candidates of a choice, with the axis along which the model chooses.
    pub(super) candidates: BTreeMap<String, usize>,
    /// Location of external arrays.
    pub(super) external: External,
    /// ONNX element types of stored arrays, which are lost when narrow integers are widened.
    pub(super) types: HashMap<String, i32>,
}

impl Reading {
    /// Returns the value called `name`; a stored array is added to the graph as a constant.
    pub(super) fn value(&mut self, name: &str) -> Result<ValueId, Problem> {
        let missing = || invalid(format!("{name:?} is read but not computed by any earlier node"));
        match self.slots.get(name).ok_or_else(missing)? {
            Slot::Value(id) => Ok(*id),
            Slot::Lost | Slot::Chosen { .. } => Err(Problem::Upstream),
            Slot::Unreadable(error) => Err(Problem::Own(named(name, error))),
            Slot::Sizes(_) | Slot::BatchIndex(_) => Err(depends_on_samples(&format!("{name:?}")).into()),
            Slot::Positions(_) => {
                let what = format!("{name:?}, positions of maxima, in any place but an unpooling");
                Err(OpError::Unsupported(what).into())
            }
            Slot::Stored(tensor) => {
                let id = self.graph.add_constant(name, tensor.clone());
                self.slots.insert(name.to_owned(), Slot::Value(id));
                Ok(id)
            }
        }
    }

    /// Adds a warning unless it was given before.
    pub(super) fn warn(&mut self, text: String) {
        if self.warned.insert(text.clone()) {
            self.warnings.push(text);
        }
    }
}

fn depends_on_samples(what: &str) -> OpError {
    OpError::Unsupported(format!("{what}, which depends on the number of samples, in this place"))
}

fn named(name: &str, error: &OpError) -> OpError {
    match error {
        OpError::Unsupported(what) => OpError::Unsupported(format!("array {name:?}: {what}")),
        other => invalid(format!("array {name:?}: {other}")),
    }
}

/// Access to a node while it is read.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    pub(super) reading: &'a mut Reading,
    pub(super) node: &'a NodeProto,
    pub(super) name: &'a str,
}

impl Scope<'_> {
    /// Returns the number of inputs, including omitted ones.
    pub(super) fn len(&self) -> usize {
        self.node.input.len()
    }

    /// Returns the input at `index`; `None` if omitted.
    pub(super) fn optional(&mut self, index: usize) -> Result<Option<ValueId>, Problem> {
        match self.node.input.get(index) {
            Some(name) if !name.is_empty() => self.reading.value(name).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the input at `index`.
    pub(super) fn input(&mut self, index: usize) -> Result<ValueId, Problem> {
        self.optional(index)?.ok_or(Problem::Own(OpError::MissingInput { index }))
    }

    /// Returns all inputs.
    pub(super) fn inputs(&mut self) -> Result<Vec<Option<ValueId>>, Problem> {
        (0..self.len()).map(|i| self.optional(i)).collect()
    }

    /// Returns the type and shape of a value.
    pub(super) fn fact(&self, id: ValueId) -> &Fact {
        self.reading.graph.fact(id)
    }

    /// Returns the input at `index` as a stored array; `None` if omitted.
    pub(super) fn constant(&mut self, index: usize, what: &str) -> Result<Option<Tensor>, Problem> {
        let Some(name) = self.node.input.get(index).filter(|name| !name.is_empty()) else { return Ok(None) };
        match self.reading.slots.get(name) {
            Some(Slot::Stored(tensor)) => return Ok(Some(tensor.clone())),
            Some(Slot::Sizes(_) | Slot::BatchIndex(_)) => return Err(depends_on_samples(what).into()),
            _ => {}
        }
        let id = self.reading.value(name)?;
        let tensor = self.reading.graph.constant(id).cloned();
        tensor
            .map(Some)
            .ok_or_else(|| OpError::Unsupported(format!("{what} that is computed ({name:?})")).into())
    }

    /// Returns the input at `index` as a stored list of integers; `None` if omitted.
    pub(super) fn ints(&mut self, index: usize, what: &str) -> Result<Option<Vec<i64>>, Problem> {
        let Some(tensor) = self.constant(index, what)? else { return Ok(None) };
        match tensor.as_i64() {
            Some(values) if tensor.shape().len() <= 1 => Ok(Some(values.to_vec())),
            _ => Err(invalid(format!("expected a list of whole numbers as {what}")).into()),
        }
    }

    /// Returns the input at `index` as a list of sizes, each of which may be a multiple of the batch size; `None` if
    /// omitted.
    pub(super) fn sizes(&mut self, index: usize, what: &str) -> Result<Option<Vec<Size>>, Problem> {
        let Some(name) = self.node.input.get(index).filter(|name| !name.is_empty()) else { return Ok(None) };
        match self.reading.slots.get(name) {
            Some(slot @ Slot::Sizes(_)) => Ok(constant_folding::sizes(slot, what)?),
            _ => Ok(self.ints(index, what)?.map(|list| list.into_iter().map(Size::Number).collect())),
        }
    }

    /// Returns the input at `index` if it is an array that enumerates the samples.
    pub(super) fn numbered(&self, index: usize) -> Option<[Tensor; 2]> {
        match self.reading.slots.get(self.node.input.get(index)?)? {
            Slot::BatchIndex(arrays) => Some(arrays.clone()),
            _ => None,
        }
    }

    /// Returns the pooling whose maxima have the positions at `index`, and the value that it pools.
    pub(super) fn maxima(&mut self, index: usize) -> Result<(MaxPool, ValueId), Problem> {
        let name = self.node.input.get(index).ok_or(OpError::MissingInput { index })?;
        match self.reading.slots.get(name) {
            Some(Slot::Positions(Positions::Maxima { pool, x, in_channel: false, form: Form::Pooled })) => {
                return Ok((pool.clone(), *x));
            }
            Some(Slot::Positions(_)) => {}
            _ => {
                self.reading.value(name)?;
            }
        }
        let what = format!("unpooling to positions other than the second output of a MaxPool ({name:?})");
        Err(OpError::Unsupported(what).into())
    }

    /// Returns the input at `index` as one stored number; `None` if omitted.
    pub(super) fn number(&mut self, index: usize, what: &str) -> Result<Option<f32>, Problem> {
        let Some(tensor) = self.constant(index, what)? else { return Ok(None) };
        match tensor.data() {
            Data::F32(values) if values.len() == 1 => Ok(values.first().copied()),
            _ => Err(invalid(format!("expected one number as {what}")).into()),
        }
    }

    /// Returns the input at `index` as a stored boolean; `None` if omitted.
    pub(super) fn truth(&mut self, index: usize, what: &str) -> Result<Option<bool>, Problem> {
        let Some(tensor) = self.constant(index, what)? else { return Ok(None) };
        match tensor.data() {
            Data::Bool(values) if values.len() == 1 => Ok(values.first().copied()),
            _ => Err(invalid(format!("expected one truth value as {what}")).into()),
        }
    }

    /// Adds a warning about the node.
    pub(super) fn warn(&mut self, text: &str) {
        let text = format!("node {:?} ({}): {text}", self.name, self.node.op_type());
        self.reading.warn(text);
    }

    /// Applies an intermediate operator; its output is named after the node.
    pub(super) fn step(&mut self, op: impl Operator, inputs: &[ValueId]) -> Result<ValueId, Problem> {
        let name = format!("{}/{}", self.name, op.onnx_form().name);
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        let node = self.reading.graph.add_node(&name, Arc::new(op), &inputs)?;
        self.first_output(node)
    }

    /// Applies the operator whose output is the node's first output.
    pub(super) fn finish(
        &mut self,
        op: impl Operator,
        inputs: &[Option<ValueId>],
    ) -> Result<Outputs, Problem> {
        Ok(vec![self.finish_output(0, op, inputs)?])
    }

    /// Applies the operator whose output is the node's output at `index`.
    pub(super) fn finish_output(
        &mut self,
        index: usize,
        op: impl Operator,
        inputs: &[Option<ValueId>],
    ) -> Result<Slot, Problem> {
        let names: Vec<String> =
            self.node.output.get(index).filter(|name| !name.is_empty()).cloned().into_iter().collect();
        let node = self.reading.graph.add_named_node(self.name, Arc::new(op), inputs, &names)?;
        self.reading.graph.set_node_metadata(node, to_map(&self.node.metadata_props));
        self.first_output(node).map(Slot::Value)
    }

    fn first_output(&self, node: crate::graph::NodeId) -> Result<ValueId, Problem> {
        let outputs = &self.reading.graph.node(node).outputs;
        outputs.first().copied().ok_or_else(|| Problem::Own(invalid("the operator has no output")))
    }
}
