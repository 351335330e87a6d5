//! Is the model worth explaining? Its verdict, and what is wrong with its outputs and the images.

use crate::model::Head;
use crate::random::{Key, Use};
use crate::train::metric::{class_scores, right_predictions, roc_auc};
use crate::trust::audit::{Calibration, Estimate, ModelVerdict};
use crate::trust::bootstrap::quantile;
use crate::trust::calibration::calibration;
use crate::trust::chance::{Evidence, Judgement};
use crate::trust::delong::{auc_interval, share_interval};
use crate::trust::health::output_problems;

/// Draws for the AUC of several classes.
const DRAWS: u64 = 200;
/// More classes than this make them take too long.
const MOST_CLASSES: usize = 20;

/// The images a model is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// N×K, row by row.
    pub logits: &'a [f32],
    /// The class of each image, where it is known.
    pub labels: &'a [Option<usize>],
    /// Where the scores are in the model.
    pub head: &'a Head,
    /// The names of the classes.
    pub class_names: &'a [String],
    /// Among how many checkpoints this one was chosen by its score on these images.
    pub selected_among: usize,
    /// The seed of the draws.
    pub seed: u64,
}

/// Judges a model by its scores.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn judge(judged: Judged<'_>) -> ModelVerdict {
    let outputs = judged.head.outputs;
    let Judged { class_names, selected_among, .. } = judged;
    let (logits, labels) = labelled(&judged);
    let judgement =
        Judgement::of(Evidence { logits: &logits, outputs, labels: &labels, class_names, selected_among });
    let images = judged.logits.len() / outputs.max(1);
    ModelVerdict {
        accuracy: share_interval(right_predictions(&logits, outputs, &labels), labels.len()),
        auc: if judgement.tested() { auc(&judged, &logits, &labels) } else { None },
        calibration: reliability(judged.head, &logits, &labels),
        images,
        problems: output_problems(judged.logits, outputs).iter().map(ToString::to_string).collect(),
        dead: Vec::new(),
        unchecked: without_labels(images, labels.len()).into_iter().collect(),
        judgement,
    }
}

/// The logits and classes of the images whose class is known.
fn labelled(judged: &Judged<'_>) -> (Vec<f32>, Vec<usize>) {
    let rows = judged.logits.chunks_exact(judged.head.outputs.max(1));
    let known = rows.zip(judged.labels).filter_map(|(row, label)| Some((row, (*label)?)));
    let (rows, labels): (Vec<&[f32]>, Vec<usize>) = known.unzip();
    (rows.concat(), labels)
}

fn without_labels(images: usize, labelled: usize) -> Option<String> {
    match images - labelled {
        0 => None,
        n if n == images => Some("accuracy, ROC-AUC and calibration: the images have no labels".to_owned()),
        n => Some(format!("the answers to {n} of {images} images: they have no labels")),
    }
}

fn reliability(head: &Head, logits: &[f32], labels: &[usize]) -> Option<Calibration> {
    let rows: Vec<&[f32]> = logits.chunks_exact(head.outputs.max(1)).collect();
    let predicted: Vec<usize> = rows.iter().map(|row| head.predicted(row)).collect();
    let confidences: Vec<f64> =
        rows.iter().zip(&predicted).map(|(row, &k)| head.probabilities(row)[k]).collect();
    let right: Vec<bool> = predicted.iter().zip(labels).map(|(p, l)| p == l).collect();
    calibration(&confidences, &right).filter(|c| c.error.is_finite())
}

/// Two classes: DeLong's interval. More: the mean of one against the rest, bootstrapped.
fn auc(judged: &Judged<'_>, logits: &[f32], labels: &[usize]) -> Option<Estimate> {
    let Judged { head, seed, .. } = *judged;
    if head.classes() == 2 {
        let positive: Vec<bool> = labels.iter().map(|&l| l == 1).collect();
        return auc_interval(&class_scores(logits, head.outputs, 1), &positive);
    }
    let mean = roc_auc(logits, head.outputs, labels)?;
    let images = labels.len();
    let unknown = Estimate { mean, low: f64::NAN, high: f64::NAN, images };
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
    Some(Estimate { low: at(0.025), high: at(0.975), ..unknown })
}
