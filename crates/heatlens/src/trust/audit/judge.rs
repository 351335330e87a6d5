//! Verdict on a model from its scores: significance, rates, curves, calibration, and problems of its outputs.

use crate::model::{Activation, Head, Model};
use crate::random::{Key, Use};
use crate::stats::MeanEstimate;
use crate::stats::binomial;
use crate::stats::bootstrap::quantile;
use crate::stats::calibration::{Calibration, calibration};
use crate::stats::classifier::{class_scores, right_predictions, roc_auc};
use crate::stats::confusion::ConfusionMatrix;
use crate::stats::curve::{best_threshold, curves};
use crate::stats::delong::auc_interval;
use crate::stats::interval::share_interval;
use crate::trust::absence::positive_class;
use crate::trust::audit::{BetterThreshold, ModelVerdict, Purpose};
use crate::trust::model_problems::output_problems;
use crate::trust::significance::{Evidence, Judgement, Verdict};

/// Number of bootstrap draws for the AUC of several classes.
const DRAWS: u64 = 200;
/// Maximum number of classes for which the AUC is bootstrapped; more would take too long.
const MOST_CLASSES: usize = 20;
/// Significance level of a better threshold (McNemar's exact test). The threshold is chosen on the same images, so
/// the level is ten times stricter than that of the verdict.
const THRESHOLD_ALPHA: f64 = 0.001;

/// Scores and labels to judge a model by.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The model, for its head, its classes, and whether its preprocessing is known.
    pub model: &'a Model,
    /// Logits, shape `n k`.
    pub logits: &'a [f32],
    /// Label of each image, if known.
    pub labels: &'a [Option<usize>],
    /// Purpose of the images.
    pub purpose: Purpose,
    /// Number of checkpoints among which this one was selected by its score on these images.
    pub selected_among: usize,
    /// Random seed of the bootstrap.
    pub seed: u64,
}

/// Judges a model by its scores.
#[must_use]
pub fn judge(judged: Judged<'_>) -> ModelVerdict {
    let Judged { model, selected_among, .. } = judged;
    let (head, class_names) = (&model.head, model.class_names.as_slice());
    let outputs = head.outputs;
    let (logits, labels) = labelled(&judged);
    let judgement =
        Judgement::of(Evidence { logits: &logits, outputs, labels: &labels, class_names, selected_among });
    let images = judged.logits.len() / outputs.max(1);
    let predicted: Vec<usize> = logits.chunks_exact(outputs.max(1)).map(|row| head.predicted(row)).collect();
    let positive = (head.classes() == 2).then(|| positive_class(class_names));
    let is_positive = |class: usize| labels.iter().map(|&l| l == class).collect::<Vec<bool>>();
    ModelVerdict {
        accuracy: share_interval(right_predictions(&logits, outputs, &labels), labels.len()),
        auc: if judgement.tested() { auc(&judged, &logits, &labels) } else { None },
        calibration: reliability(head, &logits, &labels, &predicted),
        confusion: ConfusionMatrix::of(&labels, &predicted),
        positive,
        curves: positive
            .filter(|_| judgement.tested())
            .and_then(|class| curves(&class_scores(&logits, outputs, class), &is_positive(class))),
        // The probabilities of two sigmoids do not sum to 1.
        threshold: positive
            .filter(|_| head.is_binary() || head.activation != Activation::Sigmoid)
            .and_then(|_| better_threshold(&judgement, &class_scores(&logits, outputs, 1), &is_positive(1))),
        preprocessing_assumed: !model.described && model.own_scaling.is_none(),
        purpose: judged.purpose,
        class_names: class_names.to_vec(),
        images,
        problems: output_problems(judged.logits, outputs).iter().map(ToString::to_string).collect(),
        dead: Vec::new(),
        unchecked: without_labels(images, labels.len()).into_iter().collect(),
        judgement,
    }
}

/// Returns the logits and labels of the labelled images.
fn labelled(judged: &Judged<'_>) -> (Vec<f32>, Vec<usize>) {
    let rows = judged.logits.chunks_exact(judged.model.head.outputs.max(1));
    let known = rows.zip(judged.labels).filter_map(|(row, label)| Some((row, (*label)?)));
    let (rows, labels): (Vec<&[f32]>, Vec<usize>) = known.unzip();
    (rows.concat(), labels)
}

fn without_labels(images: usize, labelled: usize) -> Option<String> {
    match images - labelled {
        0 => None,
        n if n == images => Some("accuracy, ROC-AUC and calibration: the images have no labels".to_owned()),
        n => Some(format!("the predictions for {n} of {images} images: they have no labels")),
    }
}

fn reliability(head: &Head, logits: &[f32], labels: &[usize], predicted: &[usize]) -> Option<Calibration> {
    let rows = logits.chunks_exact(head.outputs.max(1));
    let confidences: Vec<f64> = rows.zip(predicted).map(|(row, &k)| head.probabilities(row)[k]).collect();
    let right: Vec<bool> = predicted.iter().zip(labels).map(|(p, l)| p == l).collect();
    calibration(&confidences, &right).filter(|c| c.error.is_finite())
}

/// Returns a better threshold than 0.5 for a model that separates the classes. It must classify more images
/// correctly than both the model and the majority-class baseline, and either the gain is significant or the
/// accuracy at 0.5 is not better than that baseline.
#[allow(clippy::cast_precision_loss)]
fn better_threshold(judgement: &Judgement, scores: &[f32], positive: &[bool]) -> Option<BetterThreshold> {
    if judgement.verdict != Verdict::Learned {
        return None;
    }
    let best = best_threshold(scores, positive)?;
    let (gained, changed) = (best.gained as u64, (best.gained + best.lost) as u64);
    let certain = binomial::upper_tail(gained, changed, 0.5) <= THRESHOLD_ALPHA;
    let better = best.right > judgement.right.max(judgement.largest);
    (better && (certain || !judgement.accuracy_is_better())).then(|| BetterThreshold {
        probability: 1.0 / (1.0 + (-best.score).exp()),
        accuracy: best.right as f64 / judgement.images as f64,
        right: best.right,
    })
}

/// Returns the AUC: with DeLong's interval for two classes, otherwise the one-vs-rest mean with a bootstrap
/// interval.
fn auc(judged: &Judged<'_>, logits: &[f32], labels: &[usize]) -> Option<MeanEstimate> {
    let Judged { model, seed, .. } = *judged;
    let head = &model.head;
    if head.classes() == 2 {
        let positive: Vec<bool> = labels.iter().map(|&l| l == 1).collect();
        return auc_interval(&class_scores(logits, head.outputs, 1), &positive);
    }
    let mean = roc_auc(logits, head.outputs, labels)?;
    let images = labels.len();
    let unknown = MeanEstimate { mean, low: f64::NAN, high: f64::NAN, images };
    if head.classes() > MOST_CLASSES {
        return Some(unknown);
    }
    let draw = |number: u64| {
        let mut rng = Key::new(seed, Use::Audit).at(u64::MAX - 2).at(number).rng();
        let chosen: Vec<usize> = (0..images).map(|_| rng.below(images)).collect();
        let rows = chosen.iter().flat_map(|&i| &logits[i * head.outputs..(i + 1) * head.outputs]);
        let (rows, labels): (Vec<f32>, Vec<usize>) =
            (rows.copied().collect(), chosen.iter().map(|&i| labels[i]).collect());
        roc_auc(&rows, head.outputs, &labels)
    };
    let mut means: Vec<f64> = (0..DRAWS).filter_map(draw).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| quantile(&means, share).unwrap_or(f64::NAN);
    Some(MeanEstimate { low: at(0.025), high: at(0.975), ..unknown })
}
