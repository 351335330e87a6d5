//! Kinds of heads: one row per kind, named as in `--head`.

use std::str::FromStr;

use heatlens_graph::Graph;

use super::{
    Asked, End, Found, Scores, classes, detection, multi_label, regression, segmentation, similarity,
};
use crate::model::ModelError;
use crate::nearest::{Named, named};

/// Meaning of a model's scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// Mutually exclusive classes.
    Classes,
    /// Independent classes, each present or absent.
    MultiLabel,
    /// Quantities, such as an age, a count or an angle.
    Regression,
    /// An embedding of the image, a list of numbers, whose similarity with another embedding is explained.
    Similarity,
    /// Class scores at every pixel.
    Segmentation,
    /// Boxes with class scores.
    Detection,
}

/// Table row of a kind of head.
pub(super) struct Row {
    pub(super) kind: HeadKind,
    /// Name of the kind for `--head`.
    pub(super) name: &'static str,
    /// Meaning of the scores in a few words.
    pub(super) summary: &'static str,
    /// Description of the explained score.
    pub(super) about: &'static str,
    /// True if the scores are quantities rather than classes.
    pub(super) quantity: bool,
    /// Returns the reason why scores cannot be of this kind, if there is one.
    pub(super) refuses: fn(usize, &Scores) -> Option<String>,
    /// Returns a guess, with its notes, if an output seems to be of this kind.
    pub(super) guess: fn(&Graph, &End<'_>) -> Option<Guess>,
    /// Finds scores at many places, for kinds that have them.
    pub(super) dense: Option<Find>,
}

impl Row {
    const fn named(&self) -> Named<HeadKind> {
        (self.name, self.summary, self.kind)
    }
}

/// Searches a graph for scores at many places.
type Find = fn(&mut Graph, &Asked<'_>) -> Result<Option<Found>, ModelError>;

/// All kinds, in the order in which they are tried; the last one accepts everything.
static ROWS: [Row; 6] =
    [detection::ROW, segmentation::ROW, similarity::ROW, regression::ROW, multi_label::ROW, classes::ROW];

/// Guessed kind of an output.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    pub(super) kind: HeadKind,
    pub(super) note: Option<String>,
    /// Question for the user if the file does not settle the kind.
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

/// Guesses the kind of an output.
pub(super) fn guess(graph: &Graph, end: &End<'_>) -> Guess {
    let found = ROWS.iter().find_map(|row| (row.guess)(graph, end));
    found.unwrap_or_else(|| Guess::sure(HeadKind::Classes))
}

/// Finds scores at many places of the requested kind, or of the first kind present.
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
    /// All kinds, with their names on the command line.
    pub const ALL: [Named<Self>; 6] = [
        classes::ROW.named(),
        multi_label::ROW.named(),
        regression::ROW.named(),
        similarity::ROW.named(),
        segmentation::ROW.named(),
        detection::ROW.named(),
    ];

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.kind == self).unwrap_or(&ROWS[ROWS.len() - 1])
    }

    /// Returns the name of the kind for `--head`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns a description of the explained score.
    #[must_use]
    pub fn about(self) -> &'static str {
        self.row().about
    }

    /// True if the scores are quantities rather than classes.
    #[must_use]
    pub fn is_quantity(self) -> bool {
        self.row().quantity
    }

    /// True if there are scores at many places.
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

    fn from_str(word: &str) -> Result<Self, String> {
        named(word, Self::ALL)
    }
}
