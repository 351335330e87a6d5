//! Limits that are checked before anything is allocated.
//!
//! A protobuf message of two bytes decodes to a struct of hundreds, so a small file could require a lot of memory.
//! [`check`] walks over the bytes once without building anything: every length must fit into the remaining bytes, and
//! the structs that decoding would create must stay within a budget. Numbers grow at most eightfold and raw weights are
//! not copied, so neither is counted.

use super::error::OnnxError;
use super::proto;

/// Maximum size of a file, the limit of protobuf itself.
pub(super) const MAX_FILE: u64 = (1 << 31) - 1;
/// Maximum memory for the structure of a file (nodes, names, attributes; without weights).
const MAX_STRUCTURE: u64 = 1 << 30;
/// Growth factor of lists: capacity doubles, so up to twice the content is allocated.
const GROWTH: u64 = 2;
/// Maximum nesting depth of messages, the decoder's own limit.
const MAX_DEPTH: usize = 100;

/// Kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    SequenceType,
    MapType,
    Shape,
    Annotation,
    NodeDevice,
    Sharding,
    ShardedDim,
    /// A message without submessages.
    Leaf,
}

use Kind::{
    Annotation, Attribute, Function, Graph, Leaf, MapType, Model, Node, NodeDevice, SequenceType, Shape,
    ShardedDim, Sharding, Sparse, Tensor, TensorType, Training, Type, ValueInfo,
};

/// Fields that hold messages: parent kind, field numbers, child kind.
const FIELDS: [(Kind, &[u64], Kind); 40] = [
    (Model, &[7], Graph),
    (Model, &[8, 14, 26], Leaf),
    (Model, &[20], Training),
    (Model, &[25], Function),
    (Training, &[1, 2], Graph),
    (Training, &[3, 4], Leaf),
    (Function, &[7], Node),
    (Function, &[11], Attribute),
    (Function, &[12], ValueInfo),
    (Function, &[9, 14], Leaf),
    (Graph, &[1], Node),
    (Graph, &[5], Tensor),
    (Graph, &[15], Sparse),
    (Graph, &[11, 12, 13], ValueInfo),
    (Graph, &[14], Annotation),
    (Graph, &[16], Leaf),
    (Node, &[5], Attribute),
    (Node, &[9], Leaf),
    (Node, &[10], NodeDevice),
    (Attribute, &[5, 10], Tensor),
    (Attribute, &[6, 11], Graph),
    (Attribute, &[22, 23], Sparse),
    (Attribute, &[14, 15], Type),
    (Tensor, &[3, 13, 16], Leaf),
    (Sparse, &[1, 2], Tensor),
    (ValueInfo, &[2], Type),
    (ValueInfo, &[4], Leaf),
    (Type, &[1, 8], TensorType),
    (Type, &[4, 9], SequenceType),
    (Type, &[5], MapType),
    (Type, &[7], Leaf),
    (TensorType, &[2], Shape),
    (SequenceType, &[1], Type),
    (MapType, &[2], Type),
    (Shape, &[1], Leaf),
    (Annotation, &[2], Leaf),
    (NodeDevice, &[2], Sharding),
    (Sharding, &[3], Leaf),
    (Sharding, &[4], ShardedDim),
    (ShardedDim, &[2], Leaf),
];

impl Kind {
    /// Returns the size of the decoded struct, without the data it points to.
    fn size(self) -> u64 {
        let size = match self {
            Model => size_of::<proto::ModelProto>(),
            Training => size_of::<proto::TrainingInfoProto>(),
            Function => size_of::<proto::FunctionProto>(),
            Graph => size_of::<proto::GraphProto>(),
            Node => size_of::<proto::NodeProto>(),
            Attribute => size_of::<proto::AttributeProto>(),
            Tensor => size_of::<proto::TensorProto>(),
            Sparse => size_of::<proto::SparseTensorProto>(),
            ValueInfo => size_of::<proto::ValueInfoProto>(),
            Type | TensorType | SequenceType | MapType => size_of::<proto::TypeProto>(),
            Annotation => size_of::<proto::TensorAnnotation>(),
            NodeDevice => size_of::<proto::NodeDeviceConfigurationProto>(),
            Sharding => size_of::<proto::ShardingSpecProto>(),
            Shape | ShardedDim | Leaf => size_of::<proto::DeviceConfigurationProto>(),
        };
        size as u64
    }
}

/// Returns the kind of message in a field, if it holds one.
fn child(parent: Kind, field: u64) -> Option<Kind> {
    FIELDS.iter().find(|(kind, fields, _)| *kind == parent && fields.contains(&field)).map(|&(.., kind)| kind)
}

/// Checks that `bytes` are valid protobuf and decode to a structure of bounded size.
///
/// # Errors
/// [`OnnxError::TooLarge`], or [`OnnxError::Damaged`] with the position.
pub(super) fn check(bytes: &[u8]) -> Result<(), OnnxError> {
    let found = bytes.len() as u64;
    if found > MAX_FILE {
        return Err(OnnxError::TooLarge { what: "the file", found, limit: MAX_FILE });
    }
    let mut scan = Scan { bytes, at: 0, memory: 0 };
    scan.message(Model, bytes.len(), 0)
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    memory: u64,
}

impl Scan<'_> {
    fn message(&mut self, kind: Kind, end: usize, depth: usize) -> Result<(), OnnxError> {
        if depth > MAX_DEPTH {
            return Err(self.damaged(format!("messages are nested more than {MAX_DEPTH} deep")));
        }
        while self.at < end {
            let tag = self.varint(end)?;
            match (tag >> 3, tag & 7) {
                (0, _) => return Err(self.damaged("field number 0")),
                (_, 0) => drop(self.varint(end)?),
                (_, 1) => self.skip(8, end)?,
                (_, 5) => self.skip(4, end)?,
                (field, 2) => self.block(kind, field, end, depth)?,
                (field, wire) => {
                    return Err(self.damaged(format!("field {field} has the unknown wire type {wire}")));
                }
            }
        }
        Ok(())
    }

    /// Reads a length-delimited field: a message, a name, raw bytes or packed numbers.
    fn block(&mut self, kind: Kind, field: u64, end: usize, depth: usize) -> Result<(), OnnxError> {
        let len = self.varint(end)?;
        let start = self.at;
        self.skip(len, end)?;
        let Some(child) = child(kind, field) else {
            // Raw data is not copied and numbers are bounded by the file; names are copied.
            let copied = if kind == Tensor && field != 8 && field != 12 { 0 } else { len };
            return self.take(size_of::<String>() as u64, copied);
        };
        self.take(child.size(), 0)?;
        let end = self.at;
        self.at = start;
        self.message(child, end, depth + 1)
    }

    /// Counts a list element of `size` bytes that points to `content` further bytes.
    fn take(&mut self, size: u64, content: u64) -> Result<(), OnnxError> {
        self.memory = self.memory.saturating_add(GROWTH * size).saturating_add(content);
        if self.memory > MAX_STRUCTURE {
            let what = "the structure of the file, its weights aside,";
            return Err(OnnxError::TooLarge { what, found: self.memory, limit: MAX_STRUCTURE });
        }
        Ok(())
    }

    fn skip(&mut self, len: u64, end: usize) -> Result<(), OnnxError> {
        let left = end.saturating_sub(self.at);
        match usize::try_from(len) {
            Ok(len) if len <= left => self.at += len,
            _ => return Err(self.damaged(format!("{len} bytes are announced, {left} are left (cut off?)"))),
        }
        Ok(())
    }

    fn varint(&mut self, end: usize) -> Result<u64, OnnxError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.bytes.get(..end).and_then(|b| b.get(self.at)).copied();
            let byte = byte.ok_or_else(|| self.damaged("a number breaks off (cut off?)"))?;
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.damaged("a number of more than ten bytes"))
    }

    fn damaged(&self, what: impl Into<String>) -> OnnxError {
        OnnxError::Damaged { at: Some(self.at), what: what.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_leaf_is_larger_than_counted() {
        let leaves = [
            size_of::<proto::StringStringEntryProto>(),
            size_of::<proto::OperatorSetIdProto>(),
            size_of::<proto::tensor_shape_proto::Dimension>(),
            size_of::<proto::tensor_proto::Segment>(),
            size_of::<proto::IntIntListEntryProto>(),
            size_of::<proto::SimpleShardedDimProto>(),
            size_of::<proto::ShardedDimProto>(),
            size_of::<proto::TensorShapeProto>(),
            size_of::<proto::type_proto::Opaque>(),
        ];
        assert!(leaves.into_iter().max().unwrap() as u64 <= Leaf.size(), "{leaves:?} {}", Leaf.size());
    }

    #[test]
    fn many_empty_nodes_are_refused_before_they_are_built() {
        // A graph of two-byte nodes: 8 MB on disk, gigabytes in memory.
        let nodes = [0x0a, 0x00].repeat(4_000_000);
        let mut bytes = vec![0x3a];
        let mut len = nodes.len();
        while len > 0x7f {
            bytes.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
            len >>= 7;
        }
        bytes.push(u8::try_from(len).unwrap());
        bytes.extend(nodes);
        assert!(matches!(check(&bytes), Err(OnnxError::TooLarge { .. })));
    }

    #[test]
    fn lengths_and_depth_are_checked() {
        let announced = check(&[0x3a, 0xff, 0xff, 0xff, 0x7f, 0]).unwrap_err().to_string();
        assert!(announced.contains("at byte 5: 268435455 bytes are announced, 1 are left"), "{announced}");
        // type { sequence { type { sequence … } } } inside graph { input { … } }
        let mut bytes = Vec::new();
        for _ in 0..80 {
            for field in [0x0a, 0x22] {
                let len = bytes.len();
                let mut wrapped = vec![field];
                if len > 0x7f {
                    wrapped.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
                    wrapped.push(u8::try_from(len >> 7).unwrap());
                } else {
                    wrapped.push(u8::try_from(len).unwrap());
                }
                wrapped.append(&mut bytes);
                bytes = wrapped;
            }
        }
        let mut scan = Scan { bytes: &bytes, at: 0, memory: 0 };
        let error = scan.message(Type, bytes.len(), 0).unwrap_err().to_string();
        assert!(error.contains("nested"), "{error}");
    }
}
