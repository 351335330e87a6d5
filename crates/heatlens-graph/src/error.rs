//! What can go wrong while a graph is built, derived or evaluated.

use thiserror::Error;

/// An operator's own complaint; the node it belongs to is added by [`GraphError`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpError {
    /// A required input is absent.
    #[error("input {index} is required but absent")]
    MissingInput {
        /// Position of the input.
        index: usize,
    },
    /// Shapes, element types or attributes do not fit together.
    #[error("{0}")]
    Invalid(String),
    /// Valid, but not something this program computes.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The operator has no derivative with respect to a wanted input.
    #[error("there is no derivative with respect to input {index}")]
    NoDerivative {
        /// Position of the input.
        index: usize,
    },
}

/// An error with the place in the graph where it arose.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphError {
    /// An operator refused.
    #[error("node {node:?} ({op}): {source}")]
    Node {
        /// The node's name.
        node: String,
        /// The operator's ONNX name.
        op: String,
        /// Why.
        source: OpError,
    },
    /// Differentiation was asked for a value that the starting value does not depend on.
    #[error("the output does not depend on {value:?}, so there is no gradient to show there")]
    Unreachable {
        /// The value that nothing flows back to.
        value: String,
    },
    /// A graph is inconsistent.
    #[error("malformed graph: {0}")]
    Malformed(String),
}
