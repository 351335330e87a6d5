//! What can go wrong while a graph is built, derived or evaluated.

use std::error::Error;
use std::fmt;

/// An operator's own complaint; the node it belongs to is added by [`GraphError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpError {
    /// A required input is absent.
    MissingInput {
        /// Position of the input.
        index: usize,
    },
    /// Shapes, element types or attributes do not fit together.
    Invalid(String),
    /// Valid, but not something this program computes.
    Unsupported(String),
    /// The operator has no derivative with respect to a wanted input.
    NoDerivative {
        /// Position of the input.
        index: usize,
    },
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingInput { index } => write!(f, "input {index} is required but absent"),
            Self::Invalid(what) => write!(f, "{what}"),
            Self::Unsupported(what) => write!(f, "{what} is not supported"),
            Self::NoDerivative { index } => write!(f, "there is no derivative with respect to input {index}"),
        }
    }
}

impl Error for OpError {}

/// An error with the place in the graph where it arose.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphError {
    /// An operator refused.
    Node {
        /// The node's name.
        node: String,
        /// The operator's ONNX name.
        op: String,
        /// Why.
        source: OpError,
    },
    /// Differentiation was asked for a value that the starting value does not depend on.
    Unreachable {
        /// The value that nothing flows back to.
        value: String,
    },
    /// A graph is inconsistent.
    Malformed(String),
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { node, op, source } => write!(f, "node {node:?} ({op}): {source}"),
            Self::Unreachable { value } => {
                write!(f, "the output does not depend on {value:?}, so there is no gradient to show there")
            }
            Self::Malformed(what) => write!(f, "malformed graph: {what}"),
        }
    }
}

impl Error for GraphError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Node { source, .. } => Some(source),
            _ => None,
        }
    }
}
