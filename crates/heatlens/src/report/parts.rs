//! Plain data types that the page is rendered from.

use crate::train::history::History;

/// Tone of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// The result can be trusted.
    Good,
    /// The results that follow should not be trusted.
    Bad,
    /// The data do not settle it.
    Unsure,
}

/// The first part of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// Tone of the verdict.
    pub tone: Tone,
    /// Short title.
    pub title: String,
    /// Sentences with the supporting numbers.
    pub sentences: Vec<String>,
}

/// Training history of a model trained with heatlens.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// Epochs.
    pub history: History,
    /// Epoch whose weights were saved.
    pub kept_epoch: Option<u64>,
    /// Verdict at the end of training: `learned`, `chance` or `unknown`.
    pub verdict: Option<String>,
    /// Title of that verdict.
    pub title: Option<String>,
    /// Sentences of that verdict.
    pub sentence: Option<String>,
}

/// An additional table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Title of the table.
    pub title: String,
    /// Introduction that says how to read the table.
    pub lead: String,
    /// Column names; the first column names the rows, the others hold numbers.
    pub columns: Vec<String>,
    /// Cells by row.
    pub rows: Vec<Vec<String>>,
}

/// An entry in the provenance section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenanceEntry {
    /// Name of the entry.
    pub name: &'static str,
    /// Value of the entry.
    pub value: String,
}
