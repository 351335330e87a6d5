//! Errors of explanations.

use heatlens_cpu::{CompileError, ExecutionError};
use heatlens_graph::GraphError;
use thiserror::Error;

use crate::data::DataError;
use crate::method::MethodError;
use crate::model::ModelError;
use crate::model::program::ProgramError;

/// Reason why an explanation cannot be computed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The model has no such layer or class.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A method does not apply.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// None of the methods applies; holds the reasons.
    #[error("no method applies: {}", .0.join("; "))]
    NothingApplies(Vec<String>),
    /// A derivative cannot be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An operator has no kernel.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The images do not fit the model.
    #[error(transparent)]
    Run(#[from] ExecutionError),
    /// An image cannot be read or does not fit the model.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The requested method has no map.
    #[error(
        "there is no map of {method}, only of {}: add the method when building the explainer", found.join(", ")
    )]
    NoMap {
        /// Requested method.
        method: &'static str,
        /// Methods that have maps.
        found: Vec<&'static str>,
    },
    /// The statistics of a network's normalisation layers cannot be computed.
    #[error("{0}")]
    Statistics(String),
}

impl From<ProgramError> for ExplainError {
    fn from(source: ProgramError) -> Self {
        match source {
            ProgramError::Graph(source) => Self::Graph(source),
            ProgramError::Compile(source) => Self::Compile(source),
            ProgramError::Run(source) => Self::Run(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::model::Model;
    use crate::render::RenderError;
    use crate::train::TrainError;

    /// Returns an error and its sources, down to the original cause.
    fn causes<'e>(error: &'e (dyn Error + 'static)) -> Vec<&'e (dyn Error + 'static)> {
        std::iter::successors(error.source(), |&cause| cause.source()).collect()
    }

    #[test]
    fn the_chain_of_causes_ends_at_the_operating_system() {
        let missing = Model::open("/no/such.onnx").unwrap_err();
        let error = ExplainError::from(missing.in_file(Path::new("/no/such.onnx")));
        let [file, origin] = causes(&error)[..] else { panic!("{error:?}") };
        assert_eq!(file.to_string(), "there is no file or folder /no/such.onnx");
        assert_eq!(error.to_string(), format!("/no/such.onnx: {file}"));
        assert_eq!(origin.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);

        let unread = ExplainError::from(crate::data::read_image("/no/such.png").unwrap_err());
        let [origin] = causes(&unread)[..] else { panic!("{unread:?}") };
        assert!(origin.is::<io::Error>());

        let source = io::Error::other("disk full");
        let unsaved = TrainError::from(RenderError::Write { path: "a.png".into(), source });
        let [origin] = causes(&unsaved)[..] else { panic!("{unsaved:?}") };
        assert_eq!(unsaved.to_string(), format!("cannot write a.png: {origin}"));
    }
}
