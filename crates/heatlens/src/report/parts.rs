//! What the page is made from: plain values, filled in by whoever knows them.

use crate::train::history::History;

/// How a verdict is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Go on.
    Good,
    /// Do not believe what follows.
    Bad,
    /// It cannot be told.
    Unsure,
}

/// The first thing on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// How it is to be taken.
    pub tone: Tone,
    /// A few words.
    pub title: String,
    /// Whole sentences with the numbers behind it.
    pub sentences: Vec<String>,
}

/// How the model was trained, if it was trained here.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// Its epochs.
    pub history: History,
    /// The epoch whose weights the model has.
    pub kept_epoch: Option<u64>,
    /// The verdict when training ended: `learned`, `chance` or `unknown`.
    pub verdict: Option<String>,
    /// The title of that verdict.
    pub title: Option<String>,
    /// The sentences of that verdict.
    pub sentence: Option<String>,
}

/// A table of anything else worth showing.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub lead: String,
    /// The columns' names; the first column names the rows, the others hold numbers.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// A line of the page's last part: where all this comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub value: String,
}
