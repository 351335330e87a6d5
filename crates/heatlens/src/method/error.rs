//! Why a method cannot be used.

use std::error::Error;
use std::fmt;

use heatlens_graph::GraphError;

use crate::model::program::ProgramError;

/// A method that cannot explain a model.
#[derive(Debug)]
#[non_exhaustive]
pub enum MethodError {
    /// There is no such method.
    Unknown {
        /// What was asked for.
        id: String,
        /// The ids that come nearest, if any come near.
        near: Vec<&'static str>,
    },
    /// The method does not apply to this model or layer.
    NotApplicable {
        /// The method.
        id: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// Something that cannot be set so.
    Setting {
        /// What was asked for.
        assignment: String,
        /// Why not, and what there is.
        reason: String,
    },
    /// The derivative cannot be built.
    Graph(GraphError),
    /// The method's program cannot be compiled or run.
    Program(ProgramError),
}

impl fmt::Display for MethodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { id, near } => {
                write!(f, "no method {id:?}")?;
                if !near.is_empty() {
                    write!(f, "; did you mean {}?", near.join(" or "))?;
                }
                write!(f, " (`heatlens methods` lists all {})", super::METHODS.len())
            }
            Self::NotApplicable { id, reason } => write!(f, "{id} does not apply here: {reason}"),
            Self::Setting { assignment, reason } => write!(f, "cannot set {assignment:?}: {reason}"),
            Self::Graph(source) => write!(f, "{source}"),
            Self::Program(source) => write!(f, "{source}"),
        }
    }
}

impl Error for MethodError {}

impl From<GraphError> for MethodError {
    fn from(source: GraphError) -> Self {
        Self::Graph(source)
    }
}

impl From<ProgramError> for MethodError {
    fn from(source: ProgramError) -> Self {
        Self::Program(source)
    }
}
