//! Why a method cannot be used.

use heatlens_graph::GraphError;
use thiserror::Error;

use crate::model::program::ProgramError;

/// A method that cannot explain a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MethodError {
    /// There is no such method.
    #[error("no method {id:?}{} (`heatlens methods` lists all {})", did_you_mean(near), super::METHODS.len())]
    Unknown {
        /// What was asked for.
        id: String,
        /// The ids that come nearest, if any come near.
        near: Vec<&'static str>,
    },
    /// The method does not apply to this model or layer.
    #[error("{id} does not apply here: {reason}")]
    NotApplicable {
        /// The method.
        id: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// Something that cannot be set so.
    #[error("cannot set {assignment:?}: {reason}")]
    Setting {
        /// What was asked for.
        assignment: String,
        /// Why not, and what there is.
        reason: String,
    },
    /// The derivative cannot be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The method's program cannot be compiled or run.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// The nearest ids, if any come near.
fn did_you_mean(near: &[&str]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}
