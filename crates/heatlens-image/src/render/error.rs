//! Errors of drawing and saving pictures.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// An error in drawing or saving a picture.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Underlying I/O error.
        source: io::Error,
    },
    /// Mismatched sizes.
    #[error("cannot draw {found}, expected {expected}")]
    Shape {
        /// Size found.
        found: String,
        /// Size expected.
        expected: String,
    },
    /// NaN or infinite value in a map.
    #[error("cannot draw a map that holds {value} at {position:?}")]
    NotFinite {
        /// Row and column (or channel, row and column) of the first such value.
        position: Vec<usize>,
        /// The value.
        value: f32,
    },
}
