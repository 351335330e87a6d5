//! What can go wrong with a picture.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a picture cannot be drawn or saved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Sizes do not belong together.
    #[error("cannot draw {found}, expected {expected}")]
    Shape {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A map holds NaN or an infinite number.
    #[error("cannot draw a map that holds {value} at {position:?}")]
    NotFinite {
        /// Line and column (or channel, line and column) of the first such number.
        position: Vec<usize>,
        /// The value found.
        value: f32,
    },
}
