//! The graph representation used throughout heatlens: values, nodes, operators with ONNX semantics, and their
//! derivatives, which are graphs too.
//!
//! Start with [`graph`] (values and nodes), then [`op`] (the operator trait), then [`differentiate()`] (reverse-mode
//! differentiation of a graph). [`mod@reference`] evaluates any graph slowly in double precision; every fast kernel is
//! tested against it.
//!
//! This crate does not depend on images, explanations or threads.

#![forbid(unsafe_code)]

pub mod builder;
pub mod compose;
pub mod differentiate;
pub mod error;
pub mod fact;
pub mod graph;
#[cfg(feature = "keras")]
pub mod keras;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod op;
pub mod reference;
mod regular_file;
pub mod rewrite;
pub mod sniff;
pub mod tensor;

pub use builder::Builder;
pub use differentiate::{Backward, DefaultRules, InputGrads, Rules, differentiate};
pub use error::{GraphError, OpError};
pub use fact::{DType, Dim, Fact, Shape};
pub use graph::{Graph, Node, NodeId, Origin, Uses, Value, ValueId};
pub use op::Operator;
pub use regular_file::{open_regular, read_regular};
pub use tensor::{Data, Tensor};
