//! Operators written in other operators.
//!
//! What a file says in one node is often a formula over operators that the graph has already. The functions here append such
//! formulas through a [`Builder`](crate::Builder): no kernel, no derivative and no export of their own is needed. Formulas and names are
//! those of the ONNX operator specification unless a function says otherwise.

pub mod activation;
pub mod attention;
pub mod blocks;
pub mod einsum;
pub mod gru;
pub mod lstm;
pub mod norm;
pub mod normalization;
pub mod resize;

use crate::error::{GraphError, OpError};

/// The complaint of a formula about what it was given.
fn refuse(formula: &str, source: OpError) -> GraphError {
    GraphError::Node { node: formula.to_owned(), op: formula.to_owned(), source }
}

fn invalid(formula: &str, message: impl Into<String>) -> GraphError {
    refuse(formula, OpError::Invalid(message.into()))
}
