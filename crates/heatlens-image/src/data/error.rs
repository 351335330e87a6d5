//! Errors in the user's data, with the value found, the value expected and advice.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Reason why data cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder could not be read or written.
    #[error("{}", io_text(path, action, source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Attempted action, such as "read" or "write".
        action: &'static str,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The file's content has an unknown format.
    #[error(
        "{} is not an image or array: it looks like {looks_like}, expected PNG, JPEG, TIFF, BMP, WebP, .npy or .npz",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Guess at the format from the first bytes.
        looks_like: String,
    },
    /// The file violates its format, or uses an unsupported part of it.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file, and the array within it if there is one.
        path: PathBuf,
        /// Description of the problem, with advice.
        reason: String,
    },
    /// The content exceeds a limit.
    #[error("{}: {what} is more than the limit of {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Name and size of the part that is too large.
        what: String,
        /// The limit that it exceeds.
        limit: String,
    },
    /// An array does not have the shape of images or labels.
    #[error("{}: the array has shape {}: {reason}", path.display(), Shape(shape))]
    Shape {
        /// The file.
        path: PathBuf,
        /// The shape found.
        shape: Vec<usize>,
        /// The shape expected, with advice.
        reason: String,
    },
    /// The numbers of images and labels differ.
    #[error(
        "{}: {images} images but {labels} labels, expected one label for each image", path.display()
    )]
    LabelCount {
        /// The file.
        path: PathBuf,
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A label is not a whole number of at least 0.
    #[error(
        "{}: the label of row {row} is {value}, expected a whole number from 0 to {} that names a class",
        path.display(), super::MAX_CLASSES - 1
    )]
    Label {
        /// The file.
        path: PathBuf,
        /// Row in the file, counted from 0.
        row: usize,
        /// The label found.
        value: f32,
    },
    /// A pixel is NaN or infinite.
    #[error(
        "{}[{row}] holds {value} at channel {}, line {}, column {}; replace it by a number or leave the row out",
        path.display(), position[0], position[1], position[2]
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Row in the file, counted from 0.
        row: usize,
        /// Channel, line and column, each counted from 0.
        position: [usize; 3],
        /// The value found.
        value: f32,
    },
    /// A row range is invalid or lies outside the array.
    #[error("rows \"{text}\": {reason}")]
    Rows {
        /// The range as typed.
        text: String,
        /// Description of the problem.
        reason: String,
    },
    /// A folder without images, although at least one is needed.
    #[error("{}", no_images(path, *class))]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// True if the folder is that of a class.
        class: bool,
    },
    /// There are fewer than two classes to train on.
    #[error(
        "{}: found {found}, but training needs at least two classes (one sub-folder or one label value for each)",
        path.display()
    )]
    OneClass {
        /// The folder or file.
        path: PathBuf,
        /// Description of the classes found.
        found: String,
    },
    /// A preprocessing setting is missing or invalid.
    #[error("preprocessing setting {key} is {found}, expected {expected}")]
    Preprocessing {
        /// Name of the setting.
        key: String,
        /// The value found.
        found: String,
        /// The value expected.
        expected: String,
    },
    /// A validation split leaves one side empty or is impossible.
    #[error("validation split: {reason}")]
    Split {
        /// Description of the problem, with advice.
        reason: String,
    },
    /// The values given as an image are not pixels.
    #[error("an image of {found}: expected {expected}")]
    Pixels {
        /// The values found.
        found: String,
        /// The values expected, with advice.
        expected: String,
    },
    /// The data set does not have the requested item.
    #[error("item {item} asked for, but there are {len}")]
    NoSuchItem {
        /// Requested position.
        item: usize,
        /// Number of items.
        len: usize,
    },
}

impl DataError {
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, action, source }
    }

    pub(super) fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_path_buf(), reason: reason.into() }
    }
}

/// Returns the message for an error of the operating system.
fn io_text(path: &Path, action: &str, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => format!("there is no file or folder {}", path.display()),
        _ => format!("cannot {action} {}: {}", path.display(), reason(source)),
    }
}

fn no_images(path: &Path, class: bool) -> String {
    match class {
        true => format!("the class folder {} holds no image: fill it or remove it", path.display()),
        false => format!("{} holds no image", path.display()),
    }
}

/// Returns the message of the operating system without the error number.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let plain = text.split_once(" (os error").map_or(text.as_str(), |(plain, _)| plain);
    let mut letters = plain.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Displays a shape as `2237×95×95×1`.
struct Shape<'a>(&'a [usize]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("() (a single number)");
        }
        for (axis, size) in self.0.iter().enumerate() {
            if axis > 0 {
                f.write_str("×")?;
            }
            write!(f, "{size}")?;
        }
        Ok(())
    }
}
