//! What can stop a run.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::data::DataError;
use crate::explain::ExplainError;
use crate::method::MethodError;
use crate::model::ModelError;
use crate::reference::ReferenceError;
use crate::render::RenderError;

/// A run that could not be begun or finished. What was written before stays.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// An option has a value that it cannot take.
    #[error("--{option}: {reason}")]
    Option {
        /// The option, without the dashes of its flag: `input-size`.
        option: &'static str,
        /// What was found and what was expected.
        reason: String,
    },
    /// The options do not make sense together, or for this model.
    #[error("{0}")]
    Request(String),
    /// The folder holds another run, or none that can go on; or shards that do not belong together.
    #[error("{0}")]
    OtherRun(String),
    /// None of the images can be used.
    #[error("{0}")]
    NoImages(String),
    /// The work was stopped from outside; what is finished is kept.
    #[error("interrupted; what is finished is kept: go on with --resume")]
    Interrupted,
    /// The model cannot be opened or used as asked.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A method does not exist or does not apply.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// The maps cannot be computed.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// A picture cannot be drawn or saved.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Images or arrays cannot be read or saved.
    #[error(transparent)]
    Data(#[from] DataError),
    /// There is no embedding to hold images against.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What a shard or an interrupted run left cannot be used.
    #[error(
        "cannot read {}: {source}; make that shard again, or start that run again with --force", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A shard, or the beginning of a run, was made of other images.
    #[error(
        "image number {item} is not what {} explained: the images have changed since; start again, with --force, and make all shards again",
        folder.display()
    )]
    OtherImages {
        /// Its folder.
        folder: PathBuf,
        /// The first image that differs.
        item: usize,
    },
}

impl RunError {
    /// Adds the path to what the operating system said about writing.
    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Write { path, source }
    }

    /// Adds the path to what the operating system said about reading.
    pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Read { path, source }
    }

    /// Adds the option to what is wrong with its value.
    pub(crate) fn option(option: &'static str) -> impl FnOnce(String) -> Self {
        move |reason| Self::Option { option, reason }
    }

    /// Returns true if the request is wrong, not the files or the machine.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Option { .. } | Self::Request(_))
    }
}
