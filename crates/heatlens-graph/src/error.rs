//! Errors raised while a graph is built, differentiated or evaluated.

use thiserror::Error;

/// Error of a single operator; [`GraphError`] adds the node it belongs to.
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
    /// Valid, but not supported by this program.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A network computes with what it chooses from the image, so that nothing before the choice is its output.
    #[error(
        "a layer behind a choice that depends on the image (two-stage detectors such as Faster R-CNN, RT-DETR) is not \
         supported"
    )]
    SecondStage,
    /// The operator has no derivative with respect to a wanted input.
    #[error("there is no derivative with respect to input {index}")]
    NoDerivative {
        /// Position of the input.
        index: usize,
    },
}

/// Error with the place in the graph where it occurred.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphError {
    /// An operator rejected its inputs.
    #[error("node {node:?} ({op}): {source}")]
    Node {
        /// Name of the node.
        node: String,
        /// ONNX name of the operator.
        op: String,
        /// Error of the operator.
        source: OpError,
    },
    /// A gradient was requested for a value that the output does not depend on.
    #[error("the output does not depend on {value:?}, so there is no gradient to show there")]
    Unreachable {
        /// Name of the value without a gradient.
        value: String,
    },
    /// The graph is inconsistent.
    #[error("malformed graph: {0}")]
    Malformed(String),
}
