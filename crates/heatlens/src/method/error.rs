//! Errors of selecting, configuring and preparing methods.

use heatlens_graph::GraphError;
use thiserror::Error;

use crate::model::program::ProgramError;

/// An error of a method.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MethodError {
    /// There is no method of this name.
    #[error("no method {id:?}{} (`heatlens methods` lists all {})", did_you_mean(near), super::METHODS.len())]
    Unknown {
        /// Requested name.
        id: String,
        /// Ids of the methods with similar names, if there are any.
        near: Vec<&'static str>,
    },
    /// The method does not apply to this model or layer.
    #[error("{id} does not apply here: {reason}")]
    NotApplicable {
        /// Id of the method.
        id: &'static str,
        /// Reason, with advice.
        reason: String,
    },
    /// The setting is invalid.
    #[error("cannot set {assignment:?}: {reason}")]
    Setting {
        /// Requested assignment.
        assignment: String,
        /// Reason, with the valid values.
        reason: String,
    },
    /// The caller asked to stop before the map was finished.
    #[error("stopped before the map was finished")]
    Stopped,
    /// The derivative cannot be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The method's program cannot be compiled or run.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// Formats the suggestions, if there are any.
fn did_you_mean(near: &[&str]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}
