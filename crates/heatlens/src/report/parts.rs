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

/// How far each method can be believed on this model.
#[derive(Clone, Debug, Default)]
pub struct AuditPart {
    /// Whole sentences that come first.
    pub sentences: Vec<String>,
    /// What is wrong with the model's outputs and units, or with the images.
    pub problems: Vec<String>,
    /// The title of the recommended method, and why it is that one.
    pub recommended: Option<(String, String)>,
    /// What was measured.
    pub columns: Vec<MetricColumn>,
    /// One row for each method, best first.
    pub rows: Vec<MethodRow>,
}

/// One measure.
#[derive(Clone, Debug)]
pub struct MetricColumn {
    /// Its name.
    pub name: String,
    /// What it means, in a sentence.
    pub meaning: String,
    /// Whether more is better; `None` where neither is.
    pub higher_is_better: Option<bool>,
    /// Whether its numbers are shares, shown in per cent.
    pub percent: bool,
    /// Whether it does not tell the methods apart on this model.
    pub says_nothing: bool,
}

/// One method's measures.
#[derive(Clone, Debug)]
pub struct MethodRow {
    /// Its title.
    pub title: String,
    /// The verdict in a word or two.
    pub verdict: String,
    /// How the verdict is to be taken.
    pub tone: Tone,
    /// The verdict as a sentence.
    pub sentence: String,
    /// Whether it is a control and no explanation.
    pub control: bool,
    /// One for each column.
    pub cells: Vec<Option<Interval>>,
}

/// A mean and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
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
