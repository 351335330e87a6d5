//! Why a file is no image classifier that we can explain.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::data::{DataError, reason};
use crate::nearest::nearest;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// So many classes are listed by name.
const FEW_CLASSES: usize = 12;

/// A model that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file can't be read as a model.
    #[error("{}", file_text(path, source))]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The model can't be written.
    #[error("the model cannot be written: {0}")]
    Write(#[source] Cause),
    /// There is no single image input; the inputs found.
    #[error(
        "expected one image input (N×C×H×W, N×H×W×C or N×H×W of fixed size), found {}; --input NAME picks one of several",
        .0.join(", ")
    )]
    Inputs(Vec<String>),
    /// The image input takes more images at a time than any machine runs together.
    #[error(
        "input {input} takes {batch} images at a time, expected at most {most}; export the model with an open batch"
    )]
    Batch {
        /// The input and its shape.
        input: String,
        /// Images at a time.
        batch: usize,
        /// The most that are taken.
        most: usize,
    },
    /// No input of this name.
    #[error("no input {name:?}; there is {}", found.join(", "))]
    UnknownInput {
        /// What was asked for.
        name: String,
        /// The inputs there are.
        found: Vec<String>,
    },
    /// The scores depend on further inputs, which nobody gives.
    #[error(
        "the class scores depend on more than the image: {}; give each with --feed NAME=FILE.npy, or export the model with them as constants",
        .0.join(", ")
    )]
    FurtherInputs(Vec<String>),
    /// There are no class scores; the outputs found.
    #[error(
        "expected class scores for each image (N×K, computed from the image) among the outputs, found {}",
        .0.join(", ")
    )]
    Outputs(Vec<String>),
    /// No output of this name.
    #[error("no output {name:?}; there is {}", found.join(", "))]
    UnknownOutput {
        /// What was asked for.
        name: String,
        /// The outputs there are.
        found: Vec<String>,
    },
    /// The scores cannot be of the kind that was asked for.
    #[error("--head {kind} does not fit: {why}")]
    Head {
        /// The kind.
        kind: &'static str,
        /// Why not.
        why: String,
    },
    /// What is given for an input does not fit it.
    #[error("--feed {name}={}: {why}", path.display())]
    Feed {
        /// The input.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A region that does not fit.
    #[error("--region: {0}")]
    Region(String),
    /// The file fixes another size of image than the one that was asked for.
    #[error(
        "the file fixes its images at {}×{}, {}×{} was asked for; export it with open height and width",
        found[0], found[1], wanted[0], wanted[1]
    )]
    InputSize {
        /// Height and width that were asked for.
        wanted: [usize; 2],
        /// Height and width that the file fixes.
        found: [usize; 2],
    },
    /// The scores may mean several things: what, and how to say which.
    #[error("{0}")]
    Unclear(String),
    /// The graph cannot be arranged for images N×C×H×W.
    #[error(transparent)]
    Graph(heatlens_graph::GraphError),
    /// The number of class names differs from the number of classes.
    #[error("{found} class names for a model with {expected} classes")]
    ClassNames {
        /// Names found.
        found: usize,
        /// Classes of the head.
        expected: usize,
    },
    /// Our own metadata in the file do not make sense.
    #[error("the file's own description is damaged: {0}")]
    Metadata(String),
    /// A file of class names that does not give the model's classes their names.
    #[error("{}: {reason}", path.display())]
    Labels {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, and what was expected.
        reason: String,
    },
    /// What a person says of the input does not fit the model.
    #[error(transparent)]
    Preparation(DataError),
    /// No layer of this name.
    #[error("no layer {name:?}; the nearest are {} (`inspect` lists all)", near.join(", "))]
    UnknownLayer {
        /// What was asked for.
        name: String,
        /// Names that come near, or all of them where there are few.
        near: Vec<String>,
    },
    /// No class of this name.
    #[error("no class {name:?}; {}", the_classes(name, classes))]
    UnknownClass {
        /// What was asked for.
        name: String,
        /// The classes there are.
        classes: Vec<String>,
    },
    /// Several classes of this name.
    #[error("{}", several_classes(name, found))]
    SeveralClasses {
        /// What was asked for.
        name: String,
        /// Number and name of each.
        found: Vec<(usize, String)>,
    },
    /// Several classes where one is held against.
    #[error("one class can be held against another, not all of them: give a name, a number or runner-up")]
    SeveralAgainst,
    /// No value of the model has rows and columns.
    #[error("no value of this model has rows and columns, so there is no layer to make a map of")]
    NoSpatialLayer,
    /// Another error, in a file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// Which file.
        path: PathBuf,
        /// What.
        source: Box<ModelError>,
    },
}

impl ModelError {
    /// Adds the file's name.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        Self::InFile { path: path.to_owned(), source: Box::new(self) }
    }
}

/// A file that is missing, or what is wrong with it.
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

/// All classes where they are few; where they are many those that have the word in their name, or the nearest.
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
        return format!("of {count} classes these have it in their name: {}", holding.join(", "));
    }
    let near: Vec<String> =
        nearest(name, classes.iter().map(String::as_str), 5).iter().map(|near| format!("{near:?}")).collect();
    format!(
        "of {count} classes the nearest are {} (a number from 0 to {} does as well)",
        near.join(", "),
        count - 1
    )
}
