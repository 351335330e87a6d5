//! What can go wrong with a picture.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a picture cannot be drawn or saved.
#[derive(Debug)]
#[non_exhaustive]
pub enum RenderError {
    /// The file could not be written.
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Sizes do not belong together.
    Shape {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A map holds NaN or an infinite number.
    NotFinite {
        /// Line and column (or channel, line and column) of the first such number.
        position: Vec<usize>,
        /// The value found.
        value: f32,
    },
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, source } => write!(f, "cannot write {}: {source}", path.display()),
            Self::Shape { found, expected } => write!(f, "cannot draw {found}, expected {expected}"),
            Self::NotFinite { position, value } => {
                write!(f, "cannot draw a map that holds {value} at {position:?}")
            }
        }
    }
}

impl std::error::Error for RenderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Write { source, .. } => Some(source),
            _ => None,
        }
    }
}
