//! The verdict on a model, as numbers and as the sentences shared by the terminal, the page and the JSON files.

use serde_json::{Value, json};

use crate::stats::MeanEstimate;
use crate::stats::calibration::Calibration;
use crate::stats::confusion::ConfusionMatrix;
use crate::stats::curve::Curves;
use crate::stats::text::{percent, with_interval};
use crate::trust::model_problems::DeadChannels;
use crate::trust::significance::{Judgement, Untestable, Verdict};

/// Width of the 95 % interval above which the accuracy is called imprecise.
const WIDE: f64 = 0.2;
/// Half-width of the interval for which the required number of images is stated.
const PRECISE: f64 = 0.05;
/// Maximum number of confusions listed in `audit.json` and on the page.
pub(crate) const NAMED_ERRORS: usize = 20;

/// Purpose of the judged images; determines the advice given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Images held out in training.
    Training,
    /// Images given to explain or audit a model.
    #[default]
    Given,
}

/// Verdict on a model: is it worth explaining?
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelVerdict {
    /// Significance tests.
    pub judgement: Judgement,
    /// Accuracy with Wilson's interval.
    pub accuracy: Option<MeanEstimate>,
    /// ROC-AUC, with DeLong's interval for two classes.
    pub auc: Option<MeanEstimate>,
    /// Calibration: deviation of the stated probabilities from the accuracy.
    pub calibration: Option<Calibration>,
    /// Confusion matrix.
    pub confusion: ConfusionMatrix,
    /// Positive class of a two-class model: class 1, or class 0 if the name of class 1 denotes absence, such as
    /// "ok".
    pub positive: Option<usize>,
    /// ROC and precision-recall curves of the positive class, for two classes.
    pub curves: Option<Curves>,
    /// Threshold with a clearly better accuracy than 0.5, if there is one.
    pub threshold: Option<BetterThreshold>,
    /// True if neither the model file nor the user specified the preprocessing.
    pub preprocessing_assumed: bool,
    /// Purpose of the images.
    pub purpose: Purpose,
    /// Class names.
    pub class_names: Vec<String>,
    /// Number of images, including unlabelled ones.
    pub images: usize,
    /// Other problems of the model or the data, as sentences.
    pub problems: Vec<String>,
    /// Complete list of dead channels, of which `problems` names a few.
    pub dead: Vec<DeadChannels>,
    /// Checks that could not be made, with reasons.
    pub unchecked: Vec<String>,
}

/// A decision threshold between two classes other than a probability of 0.5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BetterThreshold {
    /// Probability of class 1 above which class 1 is predicted.
    pub probability: f64,
    /// Accuracy at this threshold on the same images; optimistic, because it was chosen on them.
    pub accuracy: f64,
    /// Number of correct predictions at this threshold.
    pub right: usize,
}

impl ModelVerdict {
    /// Returns the corrected p-value of the hypothesis "no better than chance"; `None` if it could not be tested.
    #[must_use]
    pub fn p_value(&self) -> Option<f64> {
        self.judgement.tested().then_some(self.judgement.p_value)
    }

    /// Returns the accuracy of the majority-class baseline; `None` if nothing could be tested.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn majority(&self) -> Option<f64> {
        let Judgement { largest, images, .. } = self.judgement;
        self.judgement.tested().then(|| largest as f64 / images.max(1) as f64)
    }

    /// Returns the recall of the positive class.
    #[must_use]
    pub fn sensitivity(&self) -> Option<MeanEstimate> {
        self.confusion.recall(self.positive?)
    }

    /// Returns the recall of the negative class.
    #[must_use]
    pub fn specificity(&self) -> Option<MeanEstimate> {
        self.confusion.recall(1 - self.positive?)
    }

    /// Returns the precision of the positive class.
    #[must_use]
    pub fn precision(&self) -> Option<MeanEstimate> {
        self.confusion.precision(self.positive?)
    }

    /// Returns the name of a class, or its index if it has none.
    #[must_use]
    pub fn class_name(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    /// Returns true if the accuracy, not just the ranking, is better than chance.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.judgement.verdict == Verdict::Learned
            && self.judgement.accuracy_is_better()
            && self.threshold.is_none()
    }

    /// Returns true if the 95 % interval of the accuracy is too wide to quote the accuracy without it.
    #[must_use]
    pub fn is_imprecise(&self) -> bool {
        self.judgement.tested() && self.accuracy.is_some_and(|a| a.high - a.low > WIDE)
    }

    /// Returns the headline: a few words with the accuracy.
    #[must_use]
    pub fn title(&self) -> String {
        let accuracy = || format!("Accuracy {}", percent(self.accuracy.map_or(0.0, |a| a.mean)));
        match self.judgement.verdict {
            Verdict::Learned if self.threshold.is_some() => {
                format!("{} at threshold 0.5, which does not suit this model", accuracy())
            }
            Verdict::Learned if self.is_good() && self.is_imprecise() => {
                format!("{}: better than chance, but few images", accuracy())
            }
            Verdict::Learned if self.is_good() => format!("{}: better than chance", accuracy()),
            Verdict::Learned => format!("{}: only the ranking is better than chance", accuracy()),
            Verdict::Chance if self.preprocessing_assumed => {
                format!("{}: no better than chance, with assumed preprocessing", accuracy())
            }
            Verdict::Chance => format!("{}: no evidence that the model learned", accuracy()),
            Verdict::Unknown(Untestable::TooFew) => {
                format!("Inconclusive: only {} labelled images", self.judgement.images)
            }
            Verdict::Unknown(Untestable::NoLabels) => "Not judged: the images have no labels".to_owned(),
            Verdict::Unknown(Untestable::OneClass) => "Not judged: all images are of one class".to_owned(),
            Verdict::Unknown(Untestable::Mismatch) => {
                "Not judged: the labels do not fit the classes".to_owned()
            }
            Verdict::Unknown(Untestable::NotFinite) => {
                "Not judged: the model's output is infinite or NaN".to_owned()
            }
        }
    }

    /// Returns the verdict in sentences: accuracy and baseline first, then significance, then limitations.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> = self.judgement.accuracy_sentence().into_iter().collect();
        sentences.push(self.judgement.significance_sentence());
        sentences.extend(self.too_few());
        sentences.extend(self.threshold_sentence());
        sentences.extend(self.imprecise());
        sentences.extend(self.assumption());
        if self.judgement.verdict == Verdict::Chance && !self.preprocessing_assumed {
            sentences.push("Heat maps of a model at chance level explain nothing.".to_owned());
        }
        sentences
    }

    /// Returns the rates and the calibration of a two-class model in one line; `None` without labels.
    #[must_use]
    pub fn details(&self) -> Option<String> {
        let of_class = |name: &str, class: usize, e: MeanEstimate| {
            format!("{name} {} (recall of '{}')", percent(e.mean), self.class_name(class))
        };
        let mut parts = Vec::new();
        parts.extend(self.auc.map(|auc| format!("ROC-AUC {}", with_interval(auc))));
        if let (Some(positive), Some(sensitivity), Some(specificity)) =
            (self.positive, self.sensitivity(), self.specificity())
        {
            parts.push(of_class("sensitivity", positive, sensitivity));
            parts.push(of_class("specificity", 1 - positive, specificity));
        }
        parts.extend(self.calibration.as_ref().map(|c| format!("expected calibration error {:.3}", c.error)));
        (!parts.is_empty() && self.judgement.tested()).then(|| parts.join(" · "))
    }

    fn too_few(&self) -> Option<String> {
        let few = self.judgement.verdict == Verdict::Unknown(Untestable::TooFew);
        few.then(|| match self.purpose {
            Purpose::Training => {
                "To hold out more, raise --validation-split (for example 0.2) or add images.".to_owned()
            }
            Purpose::Given => "Give more labelled images of every class.".to_owned(),
        })
    }

    fn threshold_sentence(&self) -> Option<String> {
        let BetterThreshold { probability, accuracy, right } = self.threshold?;
        Some(format!(
            "The threshold 0.5 does not suit this model: at threshold {} ('{}' from that probability on) \
             accuracy would be {} ({right} of {}). It was chosen on these images, so choose it anew on \
             others.",
            probability_text(probability),
            self.class_name(1),
            percent(accuracy),
            self.judgement.images
        ))
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn imprecise(&self) -> Option<String> {
        if !self.is_imprecise() || self.judgement.verdict == Verdict::Unknown(Untestable::TooFew) {
            return None;
        }
        let accuracy = self.accuracy?;
        let width = accuracy.high - accuracy.low;
        let p = f64::midpoint(accuracy.low, accuracy.high);
        let needed = (1.96 / PRECISE).powi(2) * p * (1.0 - p);
        let needed = (needed / 10.0).ceil() as usize * 10;
        Some(format!(
            "{} images are too few for a precise figure: the interval spans {:.0} percentage points. About \
             {needed} would narrow it to ± 5.",
            accuracy.images,
            100.0 * width
        ))
    }

    fn assumption(&self) -> Option<String> {
        let doubtful = self.preprocessing_assumed && self.judgement.tested() && !self.is_good();
        doubtful.then(|| {
            "The model file does not say how images are prepared, so 0…1 was assumed; with the wrong \
             preprocessing, even a good model fails like this. Try --preset imagenet, tf, caffe or raw \
             before blaming the model."
                .to_owned()
        })
    }

    /// Returns all results for `audit.json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let dead = |d: &DeadChannels| json!({ "layer": d.layer, "channels": d.dead, "of": d.of });
        let mut value = self.headline_json();
        let more = json!({
            "p_value": self.p_value(),
            "accuracy": self.accuracy.map(|e| e.mean),
            "majority": self.majority(),
            "auc": self.auc.map(|e| e.mean),
            "calibration": self.calibration.as_ref().map(Calibration::to_json),
            "images": self.images,
            "problems": self.problems,
            "dead_channels": self.dead.iter().map(dead).collect::<Vec<_>>(),
            "unchecked": self.unchecked,
        });
        if let (Some(all), Value::Object(more)) = (value.as_object_mut(), more) {
            all.extend(more);
        }
        value
    }

    /// Returns the part shared by `metrics.json` of a training run and `audit.json`.
    #[must_use]
    pub(crate) fn headline_json(&self) -> Value {
        let interval = |e: MeanEstimate| [e.low, e.high];
        let rate = |e: Option<MeanEstimate>| e.map(MeanEstimate::to_json);
        let errors: Vec<Value> = self.confusion.errors(NAMED_ERRORS).into_iter().map(|e| {
            json!({ "label": self.class_name(e.label), "predicted": self.class_name(e.predicted), "images": e.images, "of": e.of })
        }).collect();
        json!({
            "verdict": self.judgement.verdict.id(),
            "title": self.title(),
            "sentence": self.sentences().join(" "),
            "accuracy_interval": self.accuracy.map(interval),
            "auc_interval": self.auc.map(interval),
            "labelled_images": self.judgement.images,
            "right": self.judgement.right,
            "majority_class": self.judgement.largest_class,
            "positive_class": self.positive.map(|class| self.class_name(class)),
            "sensitivity": rate(self.sensitivity()),
            "specificity": rate(self.specificity()),
            "precision": rate(self.precision()),
            "average_precision": self.curves.as_ref().map(|c| c.average_precision),
            "better_threshold": self.threshold.map(|t| json!({ "probability": t.probability, "accuracy": t.accuracy, "right": t.right })),
            "confusions": errors,
            "preprocessing_assumed": self.preprocessing_assumed,
        })
    }
}

/// Formats a probability with two significant digits, because thresholds may be close to 0 or 1.
fn probability_text(p: f64) -> String {
    match p {
        p if (0.01..=0.99).contains(&p) => format!("{p:.2}"),
        p if p > 0.99 => format!("1 − {:.1e}", 1.0 - p),
        p => format!("{p:.1e}"),
    }
}

#[cfg(test)]
#[path = "model_verdict_tests.rs"]
mod tests;
