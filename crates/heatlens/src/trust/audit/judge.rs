//! Is the model worth explaining? Its verdict, and what is wrong with its outputs and the images.

use crate::model::Head;
use crate::random::{Key, Use};
use crate::train::metric::{accuracy, class_scores, right_predictions, roc_auc};
use crate::trust::audit::{Calibration, Estimate, ModelVerdict};
use crate::trust::bootstrap::quantile;
use crate::trust::calibration::calibration;
use crate::trust::chance::{Evidence, Judgement, Untestable, Verdict};
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
    /// The class of each image; empty if unknown.
    pub labels: &'a [usize],
    /// Where the scores are in the model.
    pub head: &'a Head,
    /// The names of the classes.
    pub class_names: &'a [String],
    /// The seed of the draws.
    pub seed: u64,
}

/// Judges a model by its scores.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn judge(judged: Judged<'_>) -> ModelVerdict {
    let Judged { logits, labels, head, class_names, .. } = judged;
    let outputs = head.outputs;
    let judgement = Judgement::of(Evidence { logits, outputs, labels, class_names, selected_among: 1 });
    let tested = !matches!(judgement.verdict, Verdict::Unknown(reason) if reason != Untestable::TooFew);
    let known = !labels.is_empty() && labels.len() * outputs == logits.len();
    let mut unchecked = Vec::new();
    if !known {
        unchecked.push("accuracy, ROC-AUC and calibration: the images have no labels".to_owned());
    }
    ModelVerdict {
        verdict: judgement.verdict.id().to_owned(),
        sentence: judgement.to_string(),
        p_value: tested.then_some(judgement.p_value),
        accuracy: accuracy(logits, outputs, labels)
            .filter(|_| known)
            .and_then(|_| share_interval(right_predictions(logits, outputs, labels), labels.len())),
        majority: tested.then(|| judgement.largest as f64 / judgement.images.max(1) as f64),
        auc: if tested { auc(&judged) } else { None },
        calibration: if known { reliability(&judged) } else { None },
        images: logits.len() / outputs.max(1),
        problems: output_problems(logits, outputs).iter().map(ToString::to_string).collect(),
        unchecked,
    }
}

fn reliability(judged: &Judged<'_>) -> Option<Calibration> {
    let rows: Vec<&[f32]> = judged.logits.chunks_exact(judged.head.outputs.max(1)).collect();
    let probabilities: Vec<Vec<f64>> = rows.iter().map(|row| judged.head.probabilities(row)).collect();
    let predicted: Vec<usize> = rows.iter().map(|row| judged.head.predicted(row)).collect();
    let confidences: Vec<f64> = probabilities.iter().zip(&predicted).map(|(p, &k)| p[k]).collect();
    let right: Vec<bool> = predicted.iter().zip(judged.labels).map(|(p, l)| p == l).collect();
    calibration(&confidences, &right).filter(|c| c.error.is_finite())
}

/// Two classes: DeLong's interval. More: the mean of one against the rest, bootstrapped.
fn auc(judged: &Judged<'_>) -> Option<Estimate> {
    let Judged { logits, labels, head, seed, .. } = *judged;
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
