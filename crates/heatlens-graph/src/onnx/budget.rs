//! What a file may grow to while it is read.
//!
//! Nodes that compute constants, and functions that call functions, let a file of a kilobyte ask for any amount of memory.
//! Both are counted, each with an allowance of its own that grows with what the file really holds.

use std::collections::HashMap;

use prost::Message;

use super::error::OnnxError;
use super::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto};
use super::scope::Slot;
use crate::graph::{Graph, Origin};
use crate::tensor::{Data, Tensor};

/// Bytes of constants that the nodes of any file may compute while it is read.
const COMPUTED: u64 = 1 << 28;
/// They may take this many times more than the arrays that the file stores: packed weights are unpacked.
const OF_STORED: u64 = 4;
/// Bytes of nodes that functions and branches may be written out to.
const WRITTEN_OUT: u64 = 1 << 28;

/// Counts the arrays that stand in a file, and those that nodes compute of them while it is read.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Where each counted array lies in memory, and its bytes: arrays share their elements.
    seen: HashMap<usize, u64>,
    stored: u64,
    computed: u64,
}

impl Ledger {
    /// Counts an array of the file.
    pub(super) fn store(&mut self, tensor: &Tensor) {
        self.stored = self.stored.saturating_add(self.new_bytes(tensor));
    }

    /// Counts what a node added: its outputs, and the values of the graph from number `from` on.
    ///
    /// # Errors
    /// If all that nodes computed takes more than a file like this may ask for.
    pub(super) fn compute(&mut self, outputs: &[Slot], graph: &Graph, from: usize) -> Result<(), OnnxError> {
        let outputs = outputs.iter().flat_map(|slot| match slot {
            Slot::Stored(tensor) => std::slice::from_ref(tensor),
            Slot::Sizes(arrays) | Slot::Numbered(arrays) => arrays,
            Slot::Value(_) | Slot::Lost | Slot::Unreadable(_) => &[],
        });
        let constants = graph.values()[from..].iter().filter_map(|value| match &value.origin {
            Origin::Constant(tensor) => Some(tensor),
            _ => None,
        });
        for tensor in outputs.chain(constants) {
            self.computed = self.computed.saturating_add(self.new_bytes(tensor));
        }
        let limit = COMPUTED.saturating_add(self.stored.saturating_mul(OF_STORED));
        if self.computed > limit {
            let what = "what nodes compute while the file is read";
            return Err(OnnxError::TooLarge { what, found: self.computed, limit });
        }
        Ok(())
    }

    /// The array's bytes, without those that were counted where it lies.
    fn new_bytes(&mut self, tensor: &Tensor) -> u64 {
        let (place, bytes) = match tensor.data() {
            Data::F32(v) => (v.as_ptr() as usize, size_of_val::<[f32]>(v)),
            Data::F64(v) => (v.as_ptr() as usize, size_of_val::<[f64]>(v)),
            Data::I64(v) => (v.as_ptr() as usize, size_of_val::<[i64]>(v)),
            Data::Bool(v) => (v.as_ptr() as usize, size_of_val::<[bool]>(v)),
        };
        let bytes = bytes as u64;
        let counted = self.seen.entry(place).or_default();
        let new = bytes.saturating_sub(*counted);
        *counted = bytes.max(*counted);
        new
    }
}

/// Counts the nodes that functions and branches are written out to.
#[derive(Debug)]
pub(super) struct WrittenOut {
    bytes: u64,
    limit: u64,
}

impl WrittenOut {
    /// For a file of so many bytes.
    pub(super) fn new(file: u64) -> Self {
        Self { bytes: 0, limit: WRITTEN_OUT.saturating_add(file) }
    }

    /// Counts the body of a function that is about to be copied for a call named `prefix`.
    ///
    /// # Errors
    /// If all that was written out takes more than a file like this may ask for.
    pub(super) fn function(
        &mut self,
        call: &NodeProto,
        prefix: &str,
        body: &FunctionProto,
    ) -> Result<(), OnnxError> {
        let values: HashMap<&str, u64> = (body.attribute_proto.iter().chain(&call.attribute))
            .map(|value| (value.name(), attribute_bytes(value, 0, &HashMap::new())))
            .collect();
        self.count(nodes_bytes(&body.node, prefix.len(), &values))
    }

    /// Counts a branch that is about to be copied for a node named `prefix`.
    ///
    /// # Errors
    /// As [`function`](Self::function).
    pub(super) fn branch(&mut self, prefix: &str, branch: &GraphProto) -> Result<(), OnnxError> {
        self.count(graph_bytes(branch, prefix.len(), &HashMap::new()))
    }

    fn count(&mut self, bytes: u64) -> Result<(), OnnxError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limit {
            let what = "what the file's functions stand for";
            return Err(OnnxError::TooLarge { what, found: self.bytes, limit: self.limit });
        }
        Ok(())
    }
}

/// Bytes of nodes with a prefix before each name, and with the attributes `values` in place of references to them.
fn nodes_bytes(nodes: &[NodeProto], prefix: usize, values: &HashMap<&str, u64>) -> u64 {
    nodes
        .iter()
        .map(|node| {
            let names = 1 + node.input.len() + node.output.len();
            let attributes = node.attribute.iter().map(|a| attribute_bytes(a, prefix, values)).sum::<u64>();
            let own = size_of::<NodeProto>() + names * (size_of::<String>() + prefix);
            let texts = node.input.iter().chain(&node.output).map(String::len).sum::<usize>()
                + node.name().len()
                + node.doc_string().len();
            let metadata = node.metadata_props.iter().map(Message::encoded_len).sum::<usize>();
            (own + texts + metadata) as u64 + attributes
        })
        .sum()
}

fn attribute_bytes(attribute: &AttributeProto, prefix: usize, values: &HashMap<&str, u64>) -> u64 {
    if !attribute.ref_attr_name().is_empty() {
        return values.get(attribute.ref_attr_name()).copied().unwrap_or(0);
    }
    let graphs =
        attribute.g.iter().chain(&attribute.graphs).map(|g| graph_bytes(g, prefix, values)).sum::<u64>();
    let tensors = attribute.t.iter().chain(&attribute.tensors).map(tensor_bytes).sum::<u64>();
    let numbers = attribute.floats.len() * size_of::<f32>() + attribute.ints.len() * size_of::<i64>();
    let texts = attribute.name().len() + attribute.strings.len() * size_of::<prost::bytes::Bytes>();
    (size_of::<AttributeProto>() + numbers + texts) as u64 + graphs + tensors
}

fn graph_bytes(graph: &GraphProto, prefix: usize, values: &HashMap<&str, u64>) -> u64 {
    let tensors = graph.initializer.iter().map(|t| tensor_bytes(t) + prefix as u64).sum::<u64>();
    nodes_bytes(&graph.node, prefix, values) + tensors + size_of::<GraphProto>() as u64
}

/// Raw data are shared between copies, numbers in fields of their own are not.
fn tensor_bytes(tensor: &TensorProto) -> u64 {
    let wide = tensor.int64_data.len() + tensor.double_data.len() + tensor.uint64_data.len();
    let narrow = tensor.float_data.len() + tensor.int32_data.len();
    (size_of::<TensorProto>() + tensor.name().len() + 8 * (wide + tensor.dims.len()) + 4 * narrow) as u64
}
