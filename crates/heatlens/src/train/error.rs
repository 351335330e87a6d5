//! Errors of training.

use std::io;
use std::path::{Path, PathBuf};

use heatlens_cpu::{CompileError, ExecutionError};
use heatlens_graph::GraphError;
use thiserror::Error;

use crate::data::DataError;
use crate::explain::ExplainError;
use crate::model::ModelError;
use crate::render::RenderError;
use crate::train::optimizer::OptimizerError;

/// An error that prevents or stops training. Completed epochs remain on disk.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Invalid setting.
    #[error("{0}")]
    Setting(String),
    /// The network cannot be trained.
    #[error("{0}")]
    Network(String),
    /// The network cannot be compiled, run or written.
    #[error(transparent)]
    Engine(Box<dyn std::error::Error + Send + Sync>),
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The loss became infinite or NaN.
    #[error(
        "training diverged: the loss became infinite or NaN in epoch {epoch} at a learning rate of {learning_rate}; try --learning-rate {:.0e}",
        learning_rate / 10.0
    )]
    Diverged {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Learning rate of that epoch.
        learning_rate: f32,
    },
    /// A checkpoint cannot be read or belongs to another run.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// Path of the checkpoint.
        path: PathBuf,
        /// Reason.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Underlying I/O error.
        source: io::Error,
    },
}

impl TrainError {
    /// Adds the path to an I/O error.
    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Write { path, source }
    }
}

macro_rules! engine {
    ($($source:ty),*) => {
        $(impl From<$source> for TrainError {
            fn from(source: $source) -> Self {
                Self::Engine(Box::new(source))
            }
        })*
    };
}

engine!(GraphError, CompileError, ExecutionError, ModelError, ExplainError, RenderError, OptimizerError);
