//! Has the model learned anything? If not, its heat maps show nothing, and that is said plainly.
//!
//! Two ways to have learned are tested on the validation images, because either can miss what the
//! other sees. Both are one-sided, and exact as far as samples are few.
//!
//! 1. *It is right more often than whoever always answers the larger class*: a binomial test of the
//!    right answers against the share of the largest class among the validation labels themselves
//!    (the best a constant answer could do there). If predictions don't depend on the labels, the
//!    expected accuracy is at most that share, so the test errs on the cautious side.
//! 2. *It ranks the classes*: the rank test behind the ROC-AUC, so that a model which ranks well
//!    but cuts at the wrong threshold is not called chance. With more than two classes, each class
//!    against the rest.
//!
//! Several tests give chance several chances: the smallest p-value is multiplied by their number
//! (Bonferroni), and by the number of checkpoints if the model was chosen among several by a look
//! at these very images. A model without signal is found out with at least 99 % probability.

use std::fmt;

use crate::train::metric::{binary_auc, class_scores, right_predictions};
use crate::trust::{binomial, rank_test};

/// How likely a model without signal may pass as one that has learned.
pub const ALPHA: f64 = 0.01;

/// What the judgement rests on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Logits of the validation images, N×K row by row; K = 1 is a two-class model.
    pub logits: &'a [f32],
    /// K.
    pub outputs: usize,
    /// The class of each validation image, from 0; empty if unknown.
    pub labels: &'a [usize],
    /// Names of the classes; a missing one is called by its number.
    pub class_names: &'a [String],
    /// Among how many checkpoints this one was chosen by its score on these images: the epochs run
    /// where the best validation loss is kept, 1 where the last epoch is.
    pub selected_among: usize,
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Chance would do as well with probability at most [`ALPHA`].
    Learned,
    /// Not distinguishable from a model that knows nothing.
    Chance,
    /// These images can't tell.
    Unknown(Untestable),
}

impl Verdict {
    /// The verdict in one word, for machines.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::Chance => "chance",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Untestable {
    /// There are no labels.
    NoLabels,
    /// The logits are not one row for each label.
    Mismatch,
    /// All images are of one class.
    OneClass,
    /// Even a perfect model would not reach [`ALPHA`] on so few images.
    TooFew,
    /// The model's output is infinite or not a number.
    NotFinite,
}

/// The verdict and the numbers behind it. Its `Display` is the sentence for a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What came out.
    pub verdict: Verdict,
    /// Validation images.
    pub images: usize,
    /// Right answers among them.
    pub right: usize,
    /// The name of the largest class.
    pub largest_class: String,
    /// Its images.
    pub largest: usize,
    /// One-sided p-value of the right answers.
    pub accuracy_p: f64,
    /// ROC-AUC; with more than two classes that of the class ranked most significantly.
    pub auc: f64,
    /// The name of that class; `None` with two.
    pub ranked: Option<String>,
    /// One-sided p-value of the ranking, before correction.
    pub ranking_p: f64,
    /// What the smaller of the two p-values was multiplied with.
    pub comparisons: usize,
    /// The corrected p-value, at most 1.
    pub p_value: f64,
}

impl Judgement {
    /// Judges a model by its scores on images it was not trained on.
    #[must_use]
    pub fn of(evidence: Evidence<'_>) -> Self {
        let Evidence { logits, outputs, labels, .. } = evidence;
        let mut result = Self::unknown(labels.len());
        match untestable(&evidence) {
            Some(reason) => result.verdict = Verdict::Unknown(reason),
            None => result.test(&evidence, logits, outputs, labels),
        }
        result
    }

    /// Whether there was a test at all: on few images there is one that cannot succeed.
    #[must_use]
    pub fn tested(&self) -> bool {
        !matches!(self.verdict, Verdict::Unknown(reason) if reason != Untestable::TooFew)
    }

    fn unknown(images: usize) -> Self {
        Self {
            verdict: Verdict::Unknown(Untestable::NoLabels),
            images,
            right: 0,
            largest_class: String::new(),
            largest: 0,
            accuracy_p: 1.0,
            auc: 0.5,
            ranked: None,
            ranking_p: 1.0,
            comparisons: 0,
            p_value: 1.0,
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn test(&mut self, evidence: &Evidence<'_>, logits: &[f32], outputs: usize, labels: &[usize]) {
        let counts = class_counts(labels, outputs.max(2));
        let n = labels.len();
        // The first of equally large classes.
        let largest = (0..counts.len()).rev().max_by_key(|&c| counts[c]).unwrap_or_default();
        self.largest = counts[largest];
        let name =
            |class: usize| evidence.class_names.get(class).cloned().unwrap_or_else(|| class.to_string());
        self.largest_class = name(largest);
        self.right = right_predictions(logits, outputs, labels);
        self.accuracy_p = binomial::upper_tail(self.right as u64, n as u64, self.largest as f64 / n as f64);
        let ranked = ranked_classes(&counts);
        for &class in &ranked {
            let (scores, positive) = one_against_rest(logits, outputs, labels, class);
            let (Some(p), Some(auc)) =
                (rank_test::p_value(&scores, &positive), binary_auc(&scores, &positive))
            else {
                continue;
            };
            if p < self.ranking_p || ranked.len() == 1 {
                (self.ranking_p, self.auc) = (p, auc);
                self.ranked = (counts.len() > 2).then(|| name(class));
            }
        }
        self.comparisons = comparisons(&ranked, evidence.selected_among);
        let corrected = |p: f64| (p * self.comparisons as f64).min(1.0);
        self.p_value = corrected(self.accuracy_p.min(self.ranking_p));
        self.verdict = if self.p_value <= ALPHA {
            Verdict::Learned
        } else if corrected(attainable(&counts, n)) > ALPHA {
            Verdict::Unknown(Untestable::TooFew)
        } else {
            Verdict::Chance
        };
    }
}

impl Default for Judgement {
    /// Of no images nothing is known.
    fn default() -> Self {
        Self::unknown(0)
    }
}

fn untestable(evidence: &Evidence<'_>) -> Option<Untestable> {
    let Evidence { logits, outputs, labels, .. } = *evidence;
    let Some(first) = labels.first() else { return Some(Untestable::NoLabels) };
    if outputs == 0
        || labels.len().checked_mul(outputs) != Some(logits.len())
        || labels.iter().any(|&l| l >= outputs.max(2))
    {
        Some(Untestable::Mismatch)
    } else if labels.iter().all(|l| l == first) {
        Some(Untestable::OneClass)
    } else if logits.iter().any(|z| !z.is_finite()) {
        Some(Untestable::NotFinite)
    } else {
        None
    }
}

fn class_counts(labels: &[usize], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for &label in labels {
        if let Some(count) = counts.get_mut(label) {
            *count += 1;
        }
    }
    counts
}

/// The classes that are each tested against the rest; one of two is enough.
fn ranked_classes(counts: &[usize]) -> Vec<usize> {
    match counts.len() {
        2 => vec![1],
        k => (0..k).filter(|&c| counts[c] > 0).collect(),
    }
}

fn comparisons(ranked: &[usize], selected_among: usize) -> usize {
    (1 + ranked.len()).saturating_mul(selected_among.max(1))
}

fn one_against_rest(logits: &[f32], outputs: usize, labels: &[usize], class: usize) -> (Vec<f32>, Vec<bool>) {
    (class_scores(logits, outputs, class), labels.iter().map(|&l| l == class).collect())
}

/// The smallest p-value that a perfect model would get.
#[allow(clippy::cast_precision_loss)]
fn attainable(counts: &[usize], n: usize) -> f64 {
    let n = n as f64;
    let largest = counts.iter().max().map_or(n, |&c| c as f64);
    let rankings = counts.iter().filter(|&&c| c > 0).map(|&c| (-binomial::ln_binomial(n, c as f64)).exp());
    rankings.fold((largest / n).powf(n), f64::min)
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opening = match self.verdict {
            Verdict::Unknown(reason) => return f.write_str(&reason.sentence(self.images)),
            Verdict::Learned => "The model has learned something",
            Verdict::Chance => "There is nothing to see here",
        };
        write!(
            f,
            "{opening}: judged by {} images, it was right {} times; always answering '{}' would be right {} times (exact binomial test, p = {}). It ranks {} with a ROC-AUC of {:.2}, where guessing gives 0.50 (rank test, p = {}). Corrected for {} comparisons, p = {} {} {ALPHA}.",
            self.images,
            self.right,
            self.largest_class,
            self.largest,
            Probability(self.accuracy_p),
            self.ranked
                .as_ref()
                .map_or("the classes".to_owned(), |best| format!("'{best}', best of all, before the rest")),
            self.auc,
            Probability(self.ranking_p),
            self.comparisons,
            Probability(self.p_value),
            if self.verdict == Verdict::Learned { "≤" } else { ">" },
        )?;
        if self.verdict == Verdict::Chance {
            f.write_str(" The heat maps show where a model looks that has learned nothing.")?;
        }
        Ok(())
    }
}

impl Untestable {
    fn sentence(self, images: usize) -> String {
        let why = match self {
            Self::NoLabels => "there are no labels to compare its answers with; give images with labels".into(),
            Self::Mismatch => format!("its outputs don't fit the labels of the {images} images; check the classes"),
            Self::OneClass => {
                format!("all {images} images to judge by are of one class; give images of the others too (in training: a stratified split)")
            }
            Self::TooFew => {
                format!("{images} images are too few for any answer to count; judge by more")
            }
            Self::NotFinite => {
                "its output is infinite or not a number; check the images, and train with a lower learning rate".into()
            }
        };
        format!("Whether the model has learned anything can't be told: {why}.")
    }
}

/// A p-value with as many digits as it deserves.
struct Probability(f64);

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            p if p >= 0.1 => write!(f, "{p:.2}"),
            p if p >= 0.001 => write!(f, "{p:.4}"),
            0.0 => f.write_str("0 (below 1e-300)"),
            p => write!(f, "{p:.0e}"),
        }
    }
}

#[cfg(test)]
#[path = "chance_tests.rs"]
mod tests;
