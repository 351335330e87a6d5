//! Errors of runs.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::data::DataError;
use crate::explain::ExplainError;
use crate::method::MethodError;
use crate::model::ModelError;
use crate::reference::ReferenceError;
use crate::render::RenderError;

/// Reason why a run could not be started or finished. Files written before the error are kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// An option has an invalid value.
    #[error("--{option}: {reason}")]
    Option {
        /// Name of the option without leading dashes, such as `input-size`.
        option: &'static str,
        /// The value found and the values expected.
        reason: String,
    },
    /// The options contradict each other or do not fit the model.
    #[error("{0}")]
    Request(String),
    /// The folder holds a different run, or one that cannot be resumed; or shards do not belong together.
    #[error("{0}")]
    OtherRun(String),
    /// None of the images can be used.
    #[error("{0}")]
    NoImages(String),
    /// The run was interrupted; finished parts are kept.
    #[error("interrupted; finished parts are kept: continue with --resume")]
    Interrupted,
    /// The model cannot be opened or used as requested.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A method does not exist or does not apply.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// The maps cannot be computed.
    #[error(transparent)]
    Explain(ExplainError),
    /// A picture cannot be drawn or saved.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Images or arrays cannot be read or saved.
    #[error(transparent)]
    Data(#[from] DataError),
    /// There is no reference embedding to compare images with.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A file of a shard or of an interrupted run is damaged.
    #[error(
        "cannot read {}: {source}; make that shard again, or start that run again with --force", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Description of the damage.
        source: io::Error,
    },
    /// A shard, or the finished part of a run, was computed from different images.
    #[error(
        "image number {item} differs from the one explained in {}: the images have changed; start again with \
         --force, and make all shards again",
        folder.display()
    )]
    OtherImages {
        /// Folder of the shard or run.
        folder: PathBuf,
        /// Number of the first image that differs.
        item: usize,
    },
}

impl From<ExplainError> for RunError {
    fn from(source: ExplainError) -> Self {
        match source {
            ExplainError::Method(MethodError::Stopped) => Self::Interrupted,
            source => Self::Explain(source),
        }
    }
}

impl RunError {
    /// Adds the path to an error on writing.
    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Write { path, source }
    }

    /// Adds the path to an error on reading.
    pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Read { path, source }
    }

    /// Adds the option's name to the reason why its value is invalid.
    pub(crate) fn option(option: &'static str) -> impl FnOnce(String) -> Self {
        move |reason| Self::Option { option, reason }
    }

    /// Returns true if the request is at fault, rather than the files or the machine.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Option { .. } | Self::Request(_))
    }
}
