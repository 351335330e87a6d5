//! What can stop a gallery.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::data::DataError;
use crate::explain::ExplainError;
use crate::render::RenderError;

/// A gallery that could not be finished. What was written before stays.
#[derive(Debug)]
#[non_exhaustive]
pub enum GalleryError {
    /// The maps cannot be computed.
    Explain(ExplainError),
    /// A picture cannot be drawn or saved.
    Render(RenderError),
    /// An array cannot be saved.
    Data(DataError),
    /// A file or folder cannot be written.
    Write {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What a shard or an interrupted run left cannot be read.
    Read {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A shard, or the beginning of a run, was made of other images.
    OtherImages {
        /// Its folder.
        folder: PathBuf,
        /// The first image that differs.
        item: usize,
    },
}

impl GalleryError {
    /// Adds the path to what the operating system said.
    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Write { path, source }
    }
}

impl fmt::Display for GalleryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Explain(source) => write!(f, "{source}"),
            Self::Render(source) => write!(f, "{source}"),
            Self::Data(source) => write!(f, "{source}"),
            Self::Write { path, source } => write!(f, "cannot write {}: {source}", path.display()),
            Self::Read { path, source } => {
                write!(
                    f,
                    "cannot read {}: {source}; make that shard again, or start that run again with --force",
                    path.display()
                )
            }
            Self::OtherImages { folder, item } => write!(
                f,
                "image number {item} is not what {} explained: the images have changed since; start again, with --force, and make all shards again",
                folder.display()
            ),
        }
    }
}

impl Error for GalleryError {}

impl From<ExplainError> for GalleryError {
    fn from(source: ExplainError) -> Self {
        Self::Explain(source)
    }
}

impl From<RenderError> for GalleryError {
    fn from(source: RenderError) -> Self {
        Self::Render(source)
    }
}

impl From<DataError> for GalleryError {
    fn from(source: DataError) -> Self {
        Self::Data(source)
    }
}
