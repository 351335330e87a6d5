//! Limits on the growth of a file while it is read.
//!
//! Nodes that compute constants, and functions that call functions, could make a file of one kilobyte use any amount of
//! memory. Both are counted, each against a limit that grows with the actual size of the file.

use std::collections::HashMap;

use prost::Message;

use super::error::OnnxError;
use super::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto};
use super::scope::Slot;
use crate::graph::{Graph, Origin};
use crate::tensor::{Data, Tensor};

/// Bytes of computed constants allowed for any file.
const COMPUTED: u64 = 1 << 28;
/// Additional bytes of computed constants per byte of stored arrays: packed weights are unpacked.
const OF_STORED: u64 = 4;
/// Bytes of nodes allowed for inlining functions and branches, in addition to the file's size.
const WRITTEN_OUT: u64 = 1 << 28;

/// Counts the arrays stored in a file, and those that nodes compute from them while the file is read.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Address and size in bytes of each counted array: arrays share their elements.
    seen: HashMap<usize, u64>,
    stored: u64,
    computed: u64,
}

impl Ledger {
    /// Counts a stored array.
    pub(super) fn store(&mut self, tensor: &Tensor) {
        self.stored = self.stored.saturating_add(self.new_bytes(tensor));
    }

    /// Counts the results of a node: its outputs, and the values of the graph starting with number `from`.
    ///
    /// # Errors
    /// If the total size of computed arrays exceeds the limit.
    pub(super) fn compute(&mut self, outputs: &[Slot], graph: &Graph, from: usize) -> Result<(), OnnxError> {
        let outputs = outputs.iter().flat_map(|slot| match slot {
            Slot::Stored(tensor) => std::slice::from_ref(tensor),
            Slot::Sizes(arrays) | Slot::BatchIndex(arrays) => arrays,
            Slot::Value(_) | Slot::Lost | Slot::Chosen { .. } | Slot::Positions(_) | Slot::Unreadable(_) => {
                &[]
            }
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

    /// Returns the size of the array, with 8 bytes for an element of a mask, without the bytes already counted at its
    /// address.
    fn new_bytes(&mut self, tensor: &Tensor) -> u64 {
        let (place, bytes) = match tensor.data() {
            Data::F32(v) => (v.as_ptr() as usize, size_of_val::<[f32]>(v)),
            Data::F64(v) => (v.as_ptr() as usize, size_of_val::<[f64]>(v)),
            Data::I64(v) => (v.as_ptr() as usize, size_of_val::<[i64]>(v)),
            // An element of a mask takes as long to compute as an integer, so it counts as much.
            Data::Bool(v) => (v.as_ptr() as usize, v.len() * size_of::<i64>()),
        };
        let bytes = bytes as u64;
        let counted = self.seen.entry(place).or_default();
        let new = bytes.saturating_sub(*counted);
        *counted = bytes.max(*counted);
        new
    }
}

/// Counts the nodes created by inlining functions and branches.
#[derive(Debug)]
pub(super) struct WrittenOut {
    bytes: u64,
    limit: u64,
}

impl WrittenOut {
    /// Creates a counter for a file of `file` bytes.
    pub(super) fn new(file: u64) -> Self {
        Self { bytes: 0, limit: WRITTEN_OUT.saturating_add(file) }
    }

    /// Counts the body of a function before it is copied for a call named `prefix`.
    ///
    /// # Errors
    /// If the total size of inlined nodes exceeds the limit.
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

    /// Counts a branch before it is copied for a node named `prefix`.
    ///
    /// # Errors
    /// Same as [`function`](Self::function).
    pub(super) fn branch(&mut self, prefix: &str, branch: &GraphProto) -> Result<(), OnnxError> {
        self.count(graph_bytes(branch, prefix.len(), &HashMap::new()))
    }

    fn count(&mut self, bytes: u64) -> Result<(), OnnxError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limit {
            let what = "the expansion of the file's functions";
            return Err(OnnxError::TooLarge { what, found: self.bytes, limit: self.limit });
        }
        Ok(())
    }
}

/// Returns the size of nodes with a prefix before each name and with references replaced with the attributes `values`.
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

/// Copies share raw data, but not numbers in typed fields.
fn tensor_bytes(tensor: &TensorProto) -> u64 {
    let wide = tensor.int64_data.len() + tensor.double_data.len() + tensor.uint64_data.len();
    let narrow = tensor.float_data.len() + tensor.int32_data.len();
    (size_of::<TensorProto>() + tensor.name().len() + 8 * (wide + tensor.dims.len()) + 4 * narrow) as u64
}
