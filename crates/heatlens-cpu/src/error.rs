//! What can go wrong between a graph and its numbers.

use std::error::Error;
use std::fmt;

/// A graph that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// Nodes without a kernel, all of them at once.
    Unsupported(Vec<Unsupported>),
    /// One sample needs more memory than any machine at hand has.
    Memory {
        /// Bytes for one sample.
        bytes: u128,
    },
}

/// A node without a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The node's name.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// What stands in the way.
    pub reason: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = match self {
            Self::Unsupported(nodes) => nodes,
            Self::Memory { bytes } => {
                return write!(
                    f,
                    "one sample would take {} GiB of memory, more than {} GiB; use a smaller image or layer",
                    bytes >> 30,
                    crate::plan::MOST_BYTES >> 30
                );
            }
        };
        write!(f, "{} node(s) cannot run here:", nodes.len())?;
        for Unsupported { node, op, reason } in nodes {
            write!(f, "\n  {op} {node:?}: {reason}")?;
        }
        Ok(())
    }
}

impl Error for CompileError {}

/// Inputs that do not fit a program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// Another number of inputs than the program has.
    InputCount {
        /// What the program takes.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// An input of the wrong size.
    InputLen {
        /// The input's name.
        name: String,
        /// Elements expected.
        expected: usize,
        /// Elements found.
        found: usize,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputCount { expected, found } => write!(f, "expected {expected} inputs, found {found}"),
            Self::InputLen { name, expected, found } => {
                write!(f, "input {name:?}: expected {expected} elements, found {found}")
            }
        }
    }
}

impl Error for RunError {}
