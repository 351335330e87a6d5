//! Why an explanation cannot be made.

use std::error::Error;
use std::fmt;

use heatlens_cpu::{CompileError, RunError};
use heatlens_graph::GraphError;

use crate::data::DataError;
use crate::method::MethodError;
use crate::model::ModelError;
use crate::model::program::ProgramError;

/// An explanation that cannot be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExplainError {
    /// The model has no such layer or class.
    Model(ModelError),
    /// A method does not apply.
    Method(MethodError),
    /// None of the methods applies; the reasons.
    NothingApplies(Vec<String>),
    /// A derivative cannot be built.
    Graph(GraphError),
    /// An operator has no kernel.
    Compile(CompileError),
    /// The images do not fit the model.
    Run(RunError),
    /// An image cannot be read, or does not fit the model.
    Data(DataError),
    /// There is no map of a method; the methods that there are maps of.
    NoMap {
        /// The method asked for.
        method: &'static str,
        /// Those of which there are maps.
        found: Vec<&'static str>,
    },
    /// The statistics of a network's normalisations cannot be computed.
    Statistics(String),
}

impl fmt::Display for ExplainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(source) => write!(f, "{source}"),
            Self::Method(source) => write!(f, "{source}"),
            Self::NothingApplies(reasons) => write!(f, "no method applies: {}", reasons.join("; ")),
            Self::Graph(source) => write!(f, "{source}"),
            Self::Compile(source) => write!(f, "{source}"),
            Self::Run(source) => write!(f, "{source}"),
            Self::Data(source) => write!(f, "{source}"),
            Self::NoMap { method, found } => write!(
                f,
                "there is no map of {method}, only of {}: name it when the explainer is built",
                found.join(", ")
            ),
            Self::Statistics(reason) => f.write_str(reason),
        }
    }
}

impl Error for ExplainError {}

macro_rules! from {
    ($($source:ty => $variant:ident),*) => {
        $(impl From<$source> for ExplainError {
            fn from(source: $source) -> Self {
                Self::$variant(source)
            }
        })*
    };
}

from!(DataError => Data, ModelError => Model, MethodError => Method, GraphError => Graph, CompileError => Compile, RunError => Run);

impl From<ProgramError> for ExplainError {
    fn from(source: ProgramError) -> Self {
        match source {
            ProgramError::Graph(source) => Self::Graph(source),
            ProgramError::Compile(source) => Self::Compile(source),
            ProgramError::Run(source) => Self::Run(source),
        }
    }
}
