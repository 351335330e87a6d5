//! Errors of models.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::data::{DataError, reason};
use crate::nearest::nearest;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Number of classes up to which all are listed by name.
const FEW_CLASSES: usize = 12;

/// Reason why a model cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file cannot be read as a model.
    #[error("{}", file_text(path, source))]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the error.
        source: Cause,
    },
    /// The model cannot be written.
    #[error("the model cannot be written: {0}")]
    Write(#[source] Cause),
    /// There is no unique image input; holds the inputs found.
    #[error(
        "expected one image input (N×C×H×W, N×H×W×C or N×H×W of fixed size), found {}; --input NAME picks one of several",
        .0.join(", ")
    )]
    Inputs(Vec<String>),
    /// The batch size of the image input exceeds the limit.
    #[error(
        "input {input} takes {batch} images at a time, expected at most {most}; export the model with a \
         dynamic batch size"
    )]
    Batch {
        /// The input and its shape.
        input: String,
        /// Batch size of the input.
        batch: usize,
        /// Maximum batch size.
        most: usize,
    },
    /// There is no input with this name.
    #[error("no input {name:?}; the model has {}", found.join(", "))]
    UnknownInput {
        /// Requested name.
        name: String,
        /// The existing inputs.
        found: Vec<String>,
    },
    /// The scores depend on further inputs, which are not given.
    #[error(
        "the class scores depend on more than the image: {}; give each with --feed NAME=FILE.npy, or export the model with them as constants",
        .0.join(", ")
    )]
    FurtherInputs(Vec<String>),
    /// There are no class scores; holds the outputs found.
    #[error(
        "expected class scores for each image (N×K, computed from the image) among the outputs, found {}",
        .0.join(", ")
    )]
    Outputs(Vec<String>),
    /// There is no output with this name.
    #[error("no output {name:?}; the model has {}", found.join(", "))]
    UnknownOutput {
        /// Requested name.
        name: String,
        /// The existing outputs.
        found: Vec<String>,
    },
    /// The scores cannot be of the requested kind.
    #[error("--head {kind} does not fit: {why}")]
    Head {
        /// Requested kind.
        kind: &'static str,
        /// Reason.
        why: String,
    },
    /// An array given for an input does not fit.
    #[error("--feed {name}={}: {why}", path.display())]
    Feed {
        /// Name of the input.
        name: String,
        /// Path of the array.
        path: PathBuf,
        /// Reason.
        why: String,
    },
    /// A region does not fit the model.
    #[error("--region: {0}")]
    Region(String),
    /// The file fixes an image size other than the requested one.
    #[error(
        "the file fixes the image size at {}×{}, but {}×{} was requested; export the model with dynamic \
         height and width",
        found[0], found[1], wanted[0], wanted[1]
    )]
    InputSize {
        /// Requested height and width.
        wanted: [usize; 2],
        /// Height and width fixed by the file.
        found: [usize; 2],
    },
    /// The meaning of the scores is ambiguous; holds the possible meanings and how to choose one.
    #[error("{0}")]
    Unclear(String),
    /// The graph cannot be converted to images in N×C×H×W.
    #[error(transparent)]
    Graph(heatlens_graph::GraphError),
    /// The number of class names differs from the number of classes.
    #[error("{found} class names for a model with {expected} classes")]
    ClassNames {
        /// Number of names found.
        found: usize,
        /// Number of classes of the head.
        expected: usize,
    },
    /// Metadata written by heatlens are invalid.
    #[error("the metadata that heatlens wrote into the file is damaged: {0}")]
    Metadata(String),
    /// A file of class names does not fit the model.
    #[error("{}: {reason}", path.display())]
    Labels {
        /// Path of the file.
        path: PathBuf,
        /// Description of the problem, with the format expected.
        reason: String,
    },
    /// The preprocessing given by the user does not fit the model.
    #[error(transparent)]
    Preparation(DataError),
    /// There is no layer with this name.
    #[error("no layer {name:?}; the nearest are {} (`inspect` lists all)", near.join(", "))]
    UnknownLayer {
        /// Requested name.
        name: String,
        /// Similar names, or all names if there are few.
        near: Vec<String>,
    },
    /// There is no class with this name.
    #[error("no class {name:?}; {}", the_classes(name, classes))]
    UnknownClass {
        /// Requested name.
        name: String,
        /// The existing classes.
        classes: Vec<String>,
    },
    /// Several classes have this name.
    #[error("{}", several_classes(name, found))]
    SeveralClasses {
        /// Requested name.
        name: String,
        /// Number and name of each matching class.
        found: Vec<(usize, String)>,
    },
    /// Several classes were given to compare with, but only one is allowed.
    #[error(
        "one class can be compared with another, not with all of them: give a name, a number or runner-up"
    )]
    SeveralAgainst,
    /// The requested or default layer comes after an operator for which it is unknown where rows and columns end up.
    #[error(
        "{}: its rows and columns are unknown, because operator {op} ({node:?}) comes before it and nothing is \
         known about the positions of its results; choose a layer before it (`inspect` lists them)",
        layer.as_ref().map_or_else(|| "no layer can be explained".to_owned(), |name| format!("layer {name:?}"))
    )]
    UnknownPlaces {
        /// Requested layer; `None` for the default layer.
        layer: Option<String>,
        /// Name of the node.
        node: String,
        /// Name of its operator.
        op: &'static str,
    },
    /// No value of the model has rows and columns.
    #[error("no layer of this model has rows and columns, so there is no layer to compute a map at")]
    NoSpatialLayer,
    /// Another error, with the path of the file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// Path of the file.
        path: PathBuf,
        /// The error.
        source: Box<ModelError>,
    },
}

impl ModelError {
    /// Adds the path of the file.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        Self::InFile { path: path.to_owned(), source: Box::new(self) }
    }
}

/// Returns the message for a missing or unreadable file.
fn file_text(path: &Path, source: &Cause) -> String {
    let path = path.display();
    match source.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("there is no file or folder {path}")
        }
        Some(error) => format!("{path}: {}", reason(error)),
        None => format!("{path}: {source}"),
    }
}

fn several_classes(name: &str, found: &[(usize, String)]) -> String {
    let list: Vec<String> = found.iter().map(|(k, name)| format!("{k} {name}")).collect();
    let first = found.first().map_or(0, |(k, _)| *k);
    format!(
        "{} classes are called {name:?}: {}; give the number, such as {first} or {name}#{first}",
        found.len(),
        list.join(", ")
    )
}

/// Lists all classes if there are few; otherwise those that contain the word, or the most similar ones.
fn the_classes(name: &str, classes: &[String]) -> String {
    if classes.len() <= FEW_CLASSES {
        return format!("the classes are {}", classes.join(", "));
    }
    let count = classes.len();
    let word = name.trim().to_lowercase();
    let holds = |class: &String| !word.is_empty() && class.to_lowercase().contains(&word);
    let holding = classes.iter().enumerate().filter(|(_, class)| holds(class));
    let holding: Vec<String> = holding.take(FEW_CLASSES).map(|(k, class)| format!("{k} {class}")).collect();
    if !holding.is_empty() {
        return format!("of {count} classes, these contain it in their name: {}", holding.join(", "));
    }
    let near: Vec<String> =
        nearest(name, classes.iter().map(String::as_str), 5).iter().map(|near| format!("{near:?}")).collect();
    format!(
        "of {count} classes, the nearest are {} (a number from 0 to {} also works)",
        near.join(", "),
        count - 1
    )
}
