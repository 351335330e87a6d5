//! Why training cannot start or go on.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use heatlens_cpu::{CompileError, RunError};
use heatlens_graph::GraphError;

use crate::data::DataError;
use crate::model::ModelError;
use crate::render::RenderError;

/// Training that cannot start or go on. Finished epochs stay on disk.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting makes no sense.
    Setting(String),
    /// The network cannot be trained.
    Network(String),
    /// The data cannot be used.
    Data(DataError),
    /// The loss has become infinite or NaN.
    Diverged {
        /// In which epoch, counted from 1.
        epoch: usize,
        /// The step size.
        learning_rate: f32,
    },
    /// A checkpoint cannot be read or belongs to another run.
    Checkpoint {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file cannot be written.
    Write {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl TrainError {
    /// Adds the path to what the operating system said.
    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Write { path, source }
    }
}

impl fmt::Display for TrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(what) | Self::Network(what) => write!(f, "{what}"),
            Self::Data(source) => write!(f, "{source}"),
            Self::Diverged { epoch, learning_rate } => write!(
                f,
                "training diverged: the loss became infinite or NaN in epoch {epoch} at a learning rate of {learning_rate}; \
                 try --learning-rate {}",
                format_args!("{:.0e}", learning_rate / 10.0)
            ),
            Self::Checkpoint { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Write { path, source } => write!(f, "cannot write {}: {source}", path.display()),
        }
    }
}

impl Error for TrainError {}

impl From<DataError> for TrainError {
    fn from(source: DataError) -> Self {
        Self::Data(source)
    }
}

macro_rules! network {
    ($($source:ty),*) => {
        $(impl From<$source> for TrainError {
            fn from(source: $source) -> Self {
                Self::Network(source.to_string())
            }
        })*
    };
}

network!(GraphError, CompileError, RunError, ModelError, RenderError);
