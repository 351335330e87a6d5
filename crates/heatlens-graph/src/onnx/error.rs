//! Errors of reading and writing ONNX files.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use thiserror::Error;

use crate::error::{GraphError, OpError};

/// Error of reading or writing an ONNX file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file could not be read.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// The file, or its content when expanded, exceeds a limit.
    #[error("{what} takes {found} bytes or more, expected at most {limit}")]
    TooLarge {
        /// Description of the part that is too large.
        what: &'static str,
        /// Size in bytes, or a lower bound if counting stopped at the limit.
        found: u64,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// The file is of another kind.
    #[error("expected an ONNX file, found {looks_like}: {advice}")]
    NotOnnx {
        /// Kind of the file.
        looks_like: &'static str,
        /// Advice for the user.
        advice: &'static str,
    },
    /// The bytes are not a valid ONNX message.
    #[error("damaged ONNX file{}: {what}; fetch or export the file again", Place(.at))]
    Damaged {
        /// Position in bytes, if known.
        at: Option<usize>,
        /// Description of the damage.
        what: String,
    },
    /// The message is valid, but not a consistent model.
    #[error("inconsistent ONNX file: {0}")]
    Malformed(String),
    /// Some nodes cannot be read; lists all of them, in the order of the file.
    #[error("{}", List(.0))]
    Nodes(Vec<NodeError>),
    /// The graph cannot be expressed in standard ONNX.
    #[error("no standard ONNX form: {0}")]
    Write(#[source] GraphError),
}

/// Error of a node that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeError {
    /// Name of the node, or of its first output if the node has none.
    pub node: String,
    /// Name of the operator, prefixed with its domain unless that is ONNX's own.
    pub op: String,
    /// Version of the operator set the file declares; 0 if none.
    pub opset: i64,
    /// Cause.
    pub source: OpError,
}

/// Displays a position in a file, if known.
struct Place<'a>(&'a Option<usize>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |at| write!(f, " at byte {at}"))
    }
}

/// Displays one line per kind of error, with the names of the nodes.
struct List<'a>(&'a [NodeError]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0)
    }
}

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
