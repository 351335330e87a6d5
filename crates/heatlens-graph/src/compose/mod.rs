//! Operators composed of other operators.
//!
//! A single node of a file is often a formula over operators that the graph already has. The functions here append such
//! formulas through a [`Builder`](crate::Builder), so they need no kernels, derivatives or export code. Formulas and
//! names are those of the ONNX operator specification unless stated otherwise.

pub mod activation;
pub mod attention;
pub mod blocks;
pub mod einsum;
pub mod grid_sample;
pub mod gru;
pub mod lstm;
pub mod norm;
pub mod normalization;
pub mod resize;
pub mod roi_align;

use crate::error::{GraphError, OpError};

/// Error of a formula about its arguments.
fn refuse(formula: &str, source: OpError) -> GraphError {
    GraphError::Node { node: formula.to_owned(), op: formula.to_owned(), source }
}

fn invalid(formula: &str, message: impl Into<String>) -> GraphError {
    refuse(formula, OpError::Invalid(message.into()))
}
