//! What scores mean: one row for each kind of head, by the name that `--head` takes.

use std::str::FromStr;

use heatlens_graph::Graph;

use super::{
    Asked, End, Found, Scores, classes, detection, multi_label, regression, segmentation, similarity,
};
use crate::model::ModelError;

/// What the scores of a model mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// Classes that exclude each other.
    Classes,
    /// Classes each of which is there or not.
    MultiLabel,
    /// Quantities: an age, a count, an angle.
    Regression,
    /// A description of the image as a list of numbers (an embedding), of which the similarity with another is explained.
    Similarity,
    /// Scores of classes at every pixel.
    Segmentation,
    /// Boxes with scores of classes.
    Detection,
}

/// A kind of head.
pub(super) struct Row {
    pub(super) kind: HeadKind,
    /// What `--head` calls it.
    pub(super) name: &'static str,
    /// What is explained.
    pub(super) about: &'static str,
    /// Whether the scores are quantities and tell no classes apart.
    pub(super) quantity: bool,
    /// Why scores cannot be of this kind, if so.
    pub(super) refuses: fn(usize, &Scores) -> Option<String>,
    /// How surely an output is of this kind, and what there is to say about it.
    pub(super) guess: fn(&Graph, &End<'_>) -> Option<Guess>,
    /// Finds scores at many places, where they are of that kind.
    pub(super) dense: Option<Find>,
}

/// Looks for scores at many places.
type Find = fn(&mut Graph, &Asked<'_>) -> Result<Option<Found>, ModelError>;

/// The kinds, in the order in which they are asked; the last takes everything.
static ROWS: [Row; 6] =
    [detection::ROW, segmentation::ROW, similarity::ROW, regression::ROW, multi_label::ROW, classes::ROW];

/// What an output seems to be.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    pub(super) kind: HeadKind,
    pub(super) note: Option<String>,
    /// What must be asked, where the file does not say enough.
    pub(super) question: Option<String>,
}

impl Guess {
    pub(super) fn sure(kind: HeadKind) -> Self {
        Self { kind, note: None, question: None }
    }

    pub(super) fn with_note(kind: HeadKind, note: impl Into<String>) -> Self {
        Self { kind, note: Some(note.into()), question: None }
    }
}

/// What an output seems to be.
pub(super) fn guess(graph: &Graph, end: &End<'_>) -> Guess {
    let found = ROWS.iter().find_map(|row| (row.guess)(graph, end));
    found.unwrap_or_else(|| Guess::sure(HeadKind::Classes))
}

/// Scores at many places of the kind that was asked for, or of the first kind that is there.
pub(super) fn dense(
    graph: &mut Graph,
    asked: &Asked<'_>,
    kind: Option<HeadKind>,
) -> Result<Option<Found>, ModelError> {
    for row in ROWS.iter().filter(|row| kind.is_none_or(|kind| row.kind == kind)) {
        if let Some(found) = row.dense.map(|find| find(graph, asked)).transpose()?.flatten() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

impl HeadKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Classes,
        Self::MultiLabel,
        Self::Regression,
        Self::Similarity,
        Self::Segmentation,
        Self::Detection,
    ];

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.kind == self).unwrap_or(&ROWS[ROWS.len() - 1])
    }

    /// What `--head` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What is explained, in words.
    #[must_use]
    pub fn about(self) -> &'static str {
        self.row().about
    }

    /// Whether the scores are quantities and tell no classes apart.
    #[must_use]
    pub fn is_quantity(self) -> bool {
        self.row().quantity
    }

    /// Whether there are scores at many places.
    #[must_use]
    pub fn is_dense(self) -> bool {
        self.row().dense.is_some()
    }

    /// # Errors
    /// If scores cannot be of this kind.
    pub(super) fn check(self, outputs: usize, scores: &Scores) -> Result<(), ModelError> {
        match (self.row().refuses)(outputs, scores) {
            Some(why) => Err(ModelError::Head { kind: self.name(), why }),
            None => Ok(()),
        }
    }
}

impl FromStr for HeadKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("expected {}, found {text:?}", names()))
    }
}
