//! What can be wrong with an ONNX file, or with a graph that is to become one.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;

use crate::error::{GraphError, OpError};

/// A file that cannot be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum OnnxError {
    /// The operating system could not read the file.
    Io(io::Error),
    /// The file, or what it unfolds to, is larger than we take.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes; where counting stopped at the limit, at least that.
        found: u64,
        /// The most we take, in bytes.
        limit: u64,
    },
    /// The file is of another kind.
    NotOnnx {
        /// What it looks like.
        looks_like: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The bytes are no ONNX message from some place on.
    Damaged {
        /// Byte position, where known.
        at: Option<usize>,
        /// What is wrong there.
        what: String,
    },
    /// The file is a message, but not a consistent model.
    Malformed(String),
    /// Nodes that cannot be read: all of them, in the order of the file.
    Nodes(Vec<NodeError>),
    /// The graph has no standard ONNX form.
    Write(GraphError),
}

/// A node that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeError {
    /// The node's name, or its first output's where it has none.
    pub node: String,
    /// The operator; with its domain in front where that is not ONNX's own.
    pub op: String,
    /// The version of the operator set that the file asks for; 0 where it names none.
    pub opset: i64,
    /// Why.
    pub source: OpError,
}

impl fmt::Display for OnnxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(source) => write!(f, "{source}"),
            Self::TooLarge { what, found, limit } => {
                write!(f, "{what} takes {found} bytes or more, expected at most {limit}")
            }
            Self::NotOnnx { looks_like, advice } => {
                write!(f, "expected an ONNX file, found {looks_like}: {advice}")
            }
            Self::Damaged { at, what } => {
                write!(f, "damaged ONNX file")?;
                if let Some(at) = at {
                    write!(f, " at byte {at}")?;
                }
                write!(f, ": {what}; fetch or export the file again")
            }
            Self::Malformed(what) => write!(f, "inconsistent ONNX file: {what}"),
            Self::Nodes(nodes) => list(f, nodes),
            Self::Write(source) => write!(f, "no standard ONNX form: {source}"),
        }
    }
}

/// One line for each kind of trouble, with the names of the nodes that have it.
fn list(f: &mut fmt::Formatter<'_>, nodes: &[NodeError]) -> fmt::Result {
    const NAMES: usize = 5;
    let mut kinds: Vec<(&NodeError, Vec<&str>)> = Vec::new();
    let mut seen: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for node in nodes {
        let kind = *seen.entry((&node.op, node.source.to_string())).or_insert(kinds.len());
        if kind == kinds.len() {
            kinds.push((node, Vec::new()));
        }
        if let Some((_, names)) = kinds.get_mut(kind) {
            names.push(&node.node);
        }
    }
    let plural = if nodes.len() == 1 { "node" } else { "nodes" };
    write!(
        f,
        "{} {plural} cannot be read (try another exporter or operator set, or simplify the model)",
        nodes.len()
    )?;
    for (first, names) in kinds {
        write!(f, "\n  {} (operator set {}): {}; ", first.op, first.opset, first.source)?;
        let shown: Vec<String> = names.iter().take(NAMES).map(|n| format!("{n:?}")).collect();
        write!(f, "{}", shown.join(", "))?;
        if names.len() > NAMES {
            write!(f, " and {} more", names.len() - NAMES)?;
        }
    }
    Ok(())
}

impl Error for OnnxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            Self::Write(source) => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_with_the_same_trouble_share_a_line() {
        let node = |node: &str, op: &str| NodeError {
            node: node.to_owned(),
            op: op.to_owned(),
            opset: 17,
            source: OpError::Unsupported("this operator".to_owned()),
        };
        let mut nodes: Vec<_> = (0..7).map(|i| node(&format!("erf{i}"), "Erf")).collect();
        nodes.insert(2, node("nms", "NonMaxSuppression"));
        let text = OnnxError::Nodes(nodes).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("8 nodes cannot be read"));
        assert_eq!(
            lines[1],
            "  Erf (operator set 17): this operator is not supported; \
             \"erf0\", \"erf1\", \"erf2\", \"erf3\", \"erf4\" and 2 more"
        );
        assert!(lines[2].ends_with("\"nms\""));
    }
}
