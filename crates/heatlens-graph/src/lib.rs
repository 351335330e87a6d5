//! The graph that heatlens thinks in: values, nodes, operators spelled as ONNX spells them, and
//! their derivatives, which are graphs again.
//!
//! Start with [`graph`] (what a graph is), then [`op`] (what an operator must know), then
//! [`differentiate()`] (a page of code that turns a graph into its derivative). [`mod@reference`]
//! runs any graph slowly in double precision; it is the oracle every fast kernel is held against.
//!
//! This crate knows nothing of images, explanations or threads.

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
pub use differentiate::{DefaultRules, Rules, differentiate};
pub use error::{GraphError, OpError};
pub use fact::{DType, Dim, Fact, Shape};
pub use graph::{Graph, Node, NodeId, Origin, Uses, Value, ValueId};
pub use op::Operator;
pub use regular_file::{open_regular, read_regular};
pub use tensor::{Data, Tensor};
