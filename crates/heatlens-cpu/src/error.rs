//! Errors of compiling and running programs.

use std::fmt;

use thiserror::Error;

use crate::memory::readable;

/// Error of compiling a graph.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// Some nodes have no kernel; lists all of them.
    #[error("{} node(s) cannot run here:{}", .0.len(), List(.0))]
    Unsupported(Vec<Unsupported>),
    /// One sample needs more memory than is available.
    #[error(
        "one sample would take {} of memory, {} are available; use a smaller image or layer",
        readable(.bytes),
        readable(.available)
    )]
    Memory {
        /// Bytes needed for one sample.
        bytes: u128,
        /// Bytes available.
        available: u128,
    },
}

/// A node without a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Name of the node.
    pub node: String,
    /// Name of its operator.
    pub op: String,
    /// Reason why it has no kernel.
    pub reason: String,
}

/// Displays one line per node, for at most the first 20 nodes.
struct List<'a>(&'a [Unsupported]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 20;
        for Unsupported { node, op, reason } in self.0.iter().take(MOST) {
            write!(f, "\n  {op} {node:?}: {reason}")?;
        }
        match self.0.len().saturating_sub(MOST) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Error of running a program.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExecutionError {
    /// The number of inputs is wrong.
    #[error("expected {expected} inputs, found {found}")]
    InputCount {
        /// Number of inputs of the program.
        expected: usize,
        /// Number of inputs given.
        found: usize,
    },
    /// The samples together need more memory than is available.
    #[error(
        "the samples would take {} of memory together, {} are available; run fewer at a time",
        readable(.bytes),
        readable(.available)
    )]
    Memory {
        /// Bytes needed for all samples.
        bytes: u128,
        /// Bytes available.
        available: u128,
    },
    /// An input has the wrong size.
    #[error("input {name:?}: expected {expected} elements, found {found}")]
    InputLen {
        /// Name of the input.
        name: String,
        /// Expected number of elements.
        expected: usize,
        /// Number of elements given.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_nodes_is_cut() {
        let node = |i: usize| Unsupported {
            node: format!("n{i}"),
            op: "Erf".to_owned(),
            reason: "no kernel".to_owned(),
        };
        let text = |count| CompileError::Unsupported((0..count).map(node).collect()).to_string();
        assert_eq!(text(2), "2 node(s) cannot run here:\n  Erf \"n0\": no kernel\n  Erf \"n1\": no kernel");
        assert!(text(1000).starts_with("1000 node(s)") && text(1000).ends_with("\n  and 980 more"));
    }

    #[test]
    fn both_numbers_are_told_where_memory_is_short() {
        let error = CompileError::Memory { bytes: 17 << 30, available: 3 << 29 }.to_string();
        assert!(error.contains("17.0 GiB of memory, 1.5 GiB are available"), "{error}");
    }
}
