//! What can be wrong with a person's data, each with what was found, what was expected and what to try.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why data cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder could not be read or written.
    #[error("{}", io_text(path, action, source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as in "read" or "write".
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file's content is of no known kind.
    #[error(
        "{} is not an image or array: it looks like {looks_like}, expected PNG, JPEG, TIFF, BMP, WebP, .npy or .npz",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What its first bytes look like.
        looks_like: String,
    },
    /// The file claims a known format and breaks its rules, or uses a part of it that is not supported.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file, and the array within it where there is one.
        path: PathBuf,
        /// What is wrong, and what to try.
        reason: String,
    },
    /// The content is larger than the stated limit.
    #[error("{}: {what} is more than the limit of {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large, with its size.
        what: String,
        /// The limit it exceeds.
        limit: String,
    },
    /// An array's shape is not that of images or labels.
    #[error("{}: the array has shape {}: {reason}", path.display(), Shape(shape))]
    Shape {
        /// The file.
        path: PathBuf,
        /// The shape found.
        shape: Vec<usize>,
        /// What was expected, and what to try.
        reason: String,
    },
    /// Images and labels differ in number.
    #[error(
        "{}: {images} images but {labels} labels, expected one label for each image", path.display()
    )]
    LabelCount {
        /// The file.
        path: PathBuf,
        /// How many images there are.
        images: usize,
        /// How many labels there are.
        labels: usize,
    },
    /// A label is not a whole number from 0 on.
    #[error(
        "{}: the label of row {row} is {value}, expected a whole number from 0 to {} that names a class",
        path.display(), super::MAX_CLASSES - 1
    )]
    Label {
        /// The file.
        path: PathBuf,
        /// The row in the file, counted from 0.
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
        /// The row in the file, counted from 0.
        row: usize,
        /// Channel, line and column, each counted from 0.
        position: [usize; 3],
        /// The value found.
        value: f32,
    },
    /// A row range cannot be read, or lies outside the array.
    #[error("rows \"{text}\": {reason}")]
    Rows {
        /// The range as typed.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder has no image where at least one is needed.
    #[error("{}", no_images(path, *class))]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// Whether the folder stands for a class.
        class: bool,
    },
    /// Training needs at least two classes.
    #[error(
        "{}: found {found}, but training needs at least two classes (one sub-folder or one label value for each)",
        path.display()
    )]
    OneClass {
        /// The folder or file.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// A preprocessing setting is missing or makes no sense.
    #[error("preprocessing setting {key} is {found}, expected {expected}")]
    Preprocessing {
        /// The setting's name.
        key: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A validation split leaves one side empty or asks for the impossible.
    #[error("validation split: {reason}")]
    Split {
        /// What is wrong, and what to try.
        reason: String,
    },
    /// Numbers given as an image are none.
    #[error("an image of {found}: expected {expected}")]
    Pixels {
        /// What was found.
        found: String,
        /// What was expected, and what to try.
        expected: String,
    },
    /// An item was asked for that the data set does not have.
    #[error("item {item} asked for, but there are {len}")]
    NoSuchItem {
        /// The position asked for.
        item: usize,
        /// How many items there are.
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

/// A file that is missing, or what else the operating system says of it.
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

/// What the operating system says, without the number of the error.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let plain = text.split_once(" (os error").map_or(text.as_str(), |(plain, _)| plain);
    let mut letters = plain.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Writes a shape as `2237×95×95×1`.
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
