//! The verdict on a model, in numbers and in the sentences that the terminal, the page and the JSON files share.

use serde_json::{Value, json};

use crate::stats::Estimate;
use crate::stats::calibration::Calibration;
use crate::stats::confusion::ConfusionMatrix;
use crate::stats::curve::Curves;
use crate::stats::text::{percent, with_interval};
use crate::trust::chance::{Judgement, Untestable, Verdict};
use crate::trust::health::DeadChannels;

/// An accuracy whose 95 % interval is wider than this is called imprecise.
const WIDE: f64 = 0.2;
/// Half the width of the interval for which a number of images is named.
const PRECISE: f64 = 0.05;
/// Errors that are named in `audit.json` and on the page.
pub(crate) const NAMED_ERRORS: usize = 20;

/// What the images are judged for; it decides which advice is of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Images held out in training.
    Training,
    /// Images given to explain or audit a model.
    #[default]
    Given,
}

/// Whether the model is worth explaining.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelVerdict {
    /// The significance tests.
    pub judgement: Judgement,
    /// The share of right answers, with Wilson's interval.
    pub accuracy: Option<Estimate>,
    /// ROC-AUC, with DeLong's interval where there are two classes.
    pub auc: Option<Estimate>,
    /// How far stated probabilities are from the share of right answers.
    pub calibration: Option<Calibration>,
    /// Labels against predictions.
    pub confusion: ConfusionMatrix,
    /// With two classes the one that is looked for: class 1, or class 0 where class 1 is called "ok" or the like.
    pub positive: Option<usize>,
    /// ROC and precision-recall curve of the positive class, with two classes.
    pub curves: Option<Curves>,
    /// A threshold at which accuracy would be clearly better than at 0.5.
    pub threshold: Option<BetterThreshold>,
    /// Whether the model's file does not say how images are prepared and nobody else did.
    pub preprocessing_assumed: bool,
    /// What the images were judged for.
    pub purpose: Purpose,
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// The number of images, those without a label too.
    pub images: usize,
    /// What else is wrong with the model or the data, in sentences.
    pub problems: Vec<String>,
    /// Dead channels in full, which `problems` names a few of.
    pub dead: Vec<DeadChannels>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
}

/// Another cut between two classes than a probability of 0.5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BetterThreshold {
    /// The probability of class 1 above which class 1 is answered.
    pub probability: f64,
    /// The accuracy at it on the same images. It was chosen on them, so it is optimistic.
    pub accuracy: f64,
    /// The right answers at it.
    pub right: usize,
}

impl ModelVerdict {
    /// The corrected p-value of "no better than chance"; `None` where nothing could be tested.
    #[must_use]
    pub fn p_value(&self) -> Option<f64> {
        self.judgement.tested().then_some(self.judgement.p_value)
    }

    /// The share that always answering the largest class would get right; `None` where nothing could be tested.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn majority(&self) -> Option<f64> {
        let Judgement { largest, images, .. } = self.judgement;
        self.judgement.tested().then(|| largest as f64 / images.max(1) as f64)
    }

    /// The share of the positive class that was recognised.
    #[must_use]
    pub fn sensitivity(&self) -> Option<Estimate> {
        self.confusion.recall(self.positive?)
    }

    /// The share of the other class that was recognised.
    #[must_use]
    pub fn specificity(&self) -> Option<Estimate> {
        self.confusion.recall(1 - self.positive?)
    }

    /// The share of positive answers that are right.
    #[must_use]
    pub fn precision(&self) -> Option<Estimate> {
        self.confusion.precision(self.positive?)
    }

    /// A class's name, or its number.
    #[must_use]
    pub fn class_name(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    /// Whether the model is better than chance by its accuracy, not only by its ranking.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.judgement.verdict == Verdict::Learned
            && self.judgement.accuracy_is_better()
            && self.threshold.is_none()
    }

    /// Whether the 95 % interval of the accuracy is too wide to quote the accuracy without it.
    #[must_use]
    pub fn is_imprecise(&self) -> bool {
        self.judgement.tested() && self.accuracy.is_some_and(|a| a.high - a.low > WIDE)
    }

    /// The headline: a few words with the accuracy.
    #[must_use]
    pub fn title(&self) -> String {
        let accuracy = || format!("Accuracy {}", percent(self.accuracy.map_or(0.0, |a| a.mean)));
        match self.judgement.verdict {
            Verdict::Learned if self.threshold.is_some() => {
                format!("{} at threshold 0.5, which is off", accuracy())
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

    /// The verdict in sentences: accuracy and its baseline first, significance second, then what limits them.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> = self.judgement.accuracy_sentence().into_iter().collect();
        sentences.push(self.judgement.significance_sentence());
        sentences.extend(self.too_few());
        sentences.extend(self.threshold_sentence());
        sentences.extend(self.imprecise());
        sentences.extend(self.assumption());
        if self.judgement.verdict == Verdict::Chance && !self.preprocessing_assumed {
            sentences.push("Heat maps of a model at chance are evidence of nothing.".to_owned());
        }
        sentences
    }

    /// Rates of a two-class model and its calibration, in one line; `None` without labels.
    #[must_use]
    pub fn details(&self) -> Option<String> {
        let of_class = |name: &str, class: usize, e: Estimate| {
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
                "To hold out more: --validation-split 0.2, or more images in all.".to_owned()
            }
            Purpose::Given => "Give more labelled images of every class.".to_owned(),
        })
    }

    fn threshold_sentence(&self) -> Option<String> {
        let BetterThreshold { probability, accuracy, right } = self.threshold?;
        Some(format!(
            "The threshold 0.5 is off: at threshold {} ('{}' from that probability on) accuracy would be {} ({right} of {}). It was chosen on these images, so choose it anew on others.",
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
            "{} images are too few for a precise figure: the interval spans {:.0} points. About {needed} would narrow it to ± 5.",
            accuracy.images,
            100.0 * width
        ))
    }

    fn assumption(&self) -> Option<String> {
        let doubtful = self.preprocessing_assumed && self.judgement.tested() && !self.is_good();
        doubtful.then(|| {
            "The model file does not say how images are prepared, so 0…1 was assumed; a good model fails like this with the wrong preprocessing. Try --preset imagenet, tf, caffe or raw before blaming the model.".to_owned()
        })
    }

    /// Everything, for `audit.json`.
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

    /// What `metrics.json` of a training run and `audit.json` have in common.
    #[must_use]
    pub(crate) fn headline_json(&self) -> Value {
        let interval = |e: Estimate| [e.low, e.high];
        let rate = |e: Option<Estimate>| e.map(Estimate::to_json);
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

/// A probability with two significant digits: thresholds may lie close to 0 or 1.
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
