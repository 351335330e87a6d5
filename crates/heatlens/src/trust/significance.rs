//! Test of whether a model is better than chance. If it is not, its heat maps are not evidence of anything, and the
//! verdict says so.
//!
//! Two null hypotheses are tested on the labelled images, because either test can miss what the other detects. Both
//! are one-sided, and exact for small samples.
//!
//! 1. *Accuracy*: a binomial test of the correct predictions against the majority-class baseline, the share of the
//!    largest class among these labels (the best a constant prediction could do on them). If predictions do not
//!    depend on the labels, the expected accuracy is at most that share, so the test is conservative.
//! 2. *Ranking*: the rank test that corresponds to the ROC-AUC, so that a model which ranks well but has the wrong
//!    threshold is not called chance. With more than two classes, each class is tested against the rest.
//!
//! The smaller p-value is multiplied by the number of tests (Bonferroni), and by the number of checkpoints if the
//! model was selected among several by its score on these same images. A model without signal passes with a
//! probability of at most 1 %.
//! most 1 %.

use std::fmt;

use crate::stats::classifier::{binary_auc, class_scores, right_predictions};
use crate::stats::interval::share_interval;
use crate::stats::text::{p_value, percent, percent_interval};
use crate::stats::{binomial, rank_test};

/// Significance level: maximum probability that a model without signal passes as one that has learned.
pub const ALPHA: f64 = 0.01;
/// Minimum ROC-AUC of a ranking called good.
const GOOD_AUC: f64 = 0.8;
/// Maximum number of images considered when computing how many would suffice.
const MOST_NEEDED: usize = 100_000;

/// Data for the judgement.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Logits of the validation images, shape `n k`; k = 1 is a two-class model.
    pub logits: &'a [f32],
    /// Number of outputs, k.
    pub outputs: usize,
    /// Label of each validation image, from 0; empty if unknown.
    pub labels: &'a [usize],
    /// Class names; a class without a name is called by its index.
    pub class_names: &'a [String],
    /// Number of checkpoints among which this one was selected by its score on these images: the number of epochs
    /// run if the one with the best validation loss is kept, 1 if the last is.
    pub selected_among: usize,
}

/// Outcome of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A model at chance would do as well with a probability of at most [`ALPHA`].
    Learned,
    /// Not distinguishable from a model without signal.
    Chance,
    /// These images cannot settle the question.
    Unknown(Untestable),
}

impl Verdict {
    /// Returns the identifier used in JSON.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::Chance => "chance",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// Reason why no conclusion is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Untestable {
    /// There are no labels.
    NoLabels,
    /// The number of logits or a label does not match the number of classes.
    Mismatch,
    /// All images have the same label.
    OneClass,
    /// Even a perfect model would not reach [`ALPHA`] on this few images.
    TooFew,
    /// The model's output is infinite or NaN.
    NotFinite,
}

/// The verdict with its numbers. `Display` writes the accuracy with its baseline, then the significance.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Outcome.
    pub verdict: Verdict,
    /// Number of labelled images.
    pub images: usize,
    /// Number of correct predictions.
    pub right: usize,
    /// Name of the largest class.
    pub largest_class: String,
    /// Number of images of the largest class.
    pub largest: usize,
    /// One-sided p-value of the accuracy.
    pub accuracy_p: f64,
    /// ROC-AUC; with more than two classes, that of the class with the most significant ranking.
    pub auc: f64,
    /// Name of that class; `None` for two classes.
    pub ranked: Option<String>,
    /// One-sided p-value of the ranking, before correction.
    pub ranking_p: f64,
    /// Factor of the multiple-testing correction.
    pub comparisons: usize,
    /// Corrected p-value, at most 1.
    pub p_value: f64,
    /// Number of images, with the same class proportions, on which a perfect model would be significant.
    pub needed: usize,
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

    /// Returns true if a test was run, including one that cannot succeed because there are too few images.
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
            needed: 0,
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn test(&mut self, evidence: &Evidence<'_>, logits: &[f32], outputs: usize, labels: &[usize]) {
        let counts = class_counts(labels, outputs.max(2));
        let n = labels.len();
        // The first of the largest classes.
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
        self.p_value = self.corrected(self.accuracy_p.min(self.ranking_p));
        let enough = |counts: &[usize]| self.corrected(attainable(counts, counts.iter().sum())) <= ALPHA;
        self.needed = images_needed(&counts, enough);
        self.verdict = if self.p_value <= ALPHA {
            Verdict::Learned
        } else if self.needed > n {
            Verdict::Unknown(Untestable::TooFew)
        } else {
            Verdict::Chance
        };
    }
}

impl Default for Judgement {
    /// Judgement without any images.
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

/// Returns the classes to test against the rest; of two classes, one suffices.
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

/// Returns the smallest p-value a perfect model could reach.
#[allow(clippy::cast_precision_loss)]
fn attainable(counts: &[usize], n: usize) -> f64 {
    let n = n as f64;
    let largest = counts.iter().max().map_or(n, |&c| c as f64);
    let rankings = counts.iter().filter(|&&c| c > 0).map(|&c| (-binomial::ln_binomial(n, c as f64)).exp());
    rankings.fold((largest / n).powf(n), f64::min)
}

/// Returns the smallest number of images, with the same class proportions, on which a perfect model would be
/// significant.
fn images_needed(counts: &[usize], enough: impl Fn(&[usize]) -> bool) -> usize {
    let n: usize = counts.iter().sum();
    if enough(counts) {
        return n;
    }
    let scaled = |images: usize| counts.iter().map(|c| (c * images).div_ceil(n.max(1))).collect::<Vec<_>>();
    (n + 1..MOST_NEEDED).map(scaled).find(|c| enough(c)).map_or(MOST_NEEDED, |c| c.iter().sum())
}

impl Judgement {
    /// Returns true if the corrected accuracy alone is better than the majority-class baseline.
    #[must_use]
    pub fn accuracy_is_better(&self) -> bool {
        self.tested() && self.corrected(self.accuracy_p) <= ALPHA
    }

    /// Returns the accuracy with its 95 % interval and the majority-class baseline; `None` without a test.
    #[must_use]
    pub fn accuracy_sentence(&self) -> Option<String> {
        let accuracy = share_interval(self.right, self.images).filter(|_| self.tested())?;
        let baseline = share_interval(self.largest, self.images)?;
        Some(format!(
            "Accuracy {} ({} of {} images right; 95 % CI {}); always answering '{}' (the majority-class \
             baseline) would give {}.",
            percent(accuracy.mean),
            self.right,
            self.images,
            percent_interval(accuracy)?,
            self.largest_class,
            percent(baseline.mean),
        ))
    }

    /// Returns the result of the significance tests, or the reason why there is none.
    #[must_use]
    pub fn significance_sentence(&self) -> String {
        let p = format!(
            "p = {}; significance level {ALPHA}, corrected for {} comparisons",
            p_value(self.p_value),
            self.comparisons
        );
        let ranking = match &self.ranked {
            Some(class) => format!("'{class}' is ranked before the other classes (ROC-AUC {:.2})", self.auc),
            None => format!("the ranking is {} (ROC-AUC {:.2})", quality(self.auc), self.auc),
        };
        match self.verdict {
            Verdict::Unknown(why) => why.sentence(self),
            Verdict::Learned if self.accuracy_is_better() => format!("Better than chance ({p})."),
            Verdict::Learned => {
                format!(
                    "The accuracy is no better than that baseline, but {ranking}: better than chance ({p})."
                )
            }
            Verdict::Chance => format!("No evidence that the model learned: no better than chance ({p})."),
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn corrected(&self, p: f64) -> f64 {
        (p * self.comparisons as f64).min(1.0)
    }
}

fn quality(auc: f64) -> &'static str {
    if auc >= GOOD_AUC { "good" } else { "better than guessing" }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(accuracy) = self.accuracy_sentence() {
            write!(f, "{accuracy} ")?;
        }
        f.write_str(&self.significance_sentence())
    }
}

impl Untestable {
    fn sentence(self, judgement: &Judgement) -> String {
        let images = judgement.images;
        match self {
            Self::NoLabels => {
                "Not judged: the images have no labels. Give class folders, or an array with labels.".to_owned()
            }
            Self::Mismatch => format!(
                "Not judged: the labels of the {images} images do not fit the model's classes. Check their order and number."
            ),
            Self::OneClass => format!(
                "Not judged: all {images} labelled images are of one class. Add images of the others (in training: a stratified split)."
            ),
            Self::TooFew => format!(
                "Inconclusive: {images} images are too few; even a perfect model would not be significantly better than chance. Use at least {}.",
                judgement.needed
            ),
            Self::NotFinite => {
                "Not judged: the model's output is infinite or NaN. Check the images and how they are scaled; train with a lower learning rate.".to_owned()
            }
        }
    }
}

#[cfg(test)]
#[path = "significance_tests.rs"]
mod tests;
