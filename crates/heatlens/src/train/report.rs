//! Results at the end of a training run: the verdict, `metrics.json` and the learning curve.

use std::path::Path;

use serde_json::{Value, json};

use crate::data::write_atomically;
use crate::model::Model;
use crate::predict::Predictor;
use crate::render::{Curve, LearningCurve, Panel, save_png};
use crate::train::fit::{Ending, Trainer};
use crate::train::history::{EpochRecord, History};
use crate::train::{TrainError, TrainingSet};
use crate::trust::audit::{Judged, ModelVerdict, Purpose, judge};
use crate::trust::dead_channels::dead_layers;
use crate::trust::model_problems::dead_channel_problems;

/// Number of training images searched for dead channels.
const ACTIVITY_IMAGES: usize = 256;

/// Results of a run.
#[derive(Clone, Debug)]
pub struct TrainingReport {
    /// Outcome of the run.
    pub ending: Ending,
    /// Number of epochs run.
    pub epochs: u64,
    /// Epoch whose weights were saved.
    pub kept_epoch: u64,
    /// Verdict from the held-out images; its problems include channels that are 0 on all training images searched.
    pub model: ModelVerdict,
}

impl TrainingReport {
    /// Judges the saved model by the held-out images, and writes `metrics.json` and `learning_curve.png` to the
    /// run's folder.
    ///
    /// # Errors
    /// If the model cannot run or a file cannot be written.
    pub fn write(
        trainer: &Trainer<'_>,
        set: &TrainingSet,
        ending: Ending,
        keep_best: bool,
        folder: &Path,
    ) -> Result<Self, TrainError> {
        let model = trainer.model()?;
        let logits = validation_logits(&model, set)?;
        let labels: Vec<Option<usize>> = set.validation.iter().map(|&i| Some(set.labels[i])).collect();
        let epochs = trainer.history().records.len();
        let mut verdict = judge(Judged {
            model: &model,
            logits: &logits,
            labels: &labels,
            purpose: Purpose::Training,
            selected_among: if keep_best { epochs.max(1) } else { 1 },
            seed: 0,
        });
        let kept_epoch = trainer.kept_epoch();
        let sample: Vec<f32> =
            set.train.iter().take(ACTIVITY_IMAGES).flat_map(|&i| set.image(i)).copied().collect();
        let dead = dead_layers(&model, &sample, set.train.len().min(ACTIVITY_IMAGES))?;
        verdict.problems.extend(dead_channel_problems(&dead, true));
        verdict.dead = dead;
        let report = Self { ending, epochs: epochs as u64, kept_epoch, model: verdict };
        let path = folder.join("metrics.json");
        let text = format!("{:#}\n", report.to_json(trainer.history(), set));
        write_atomically(&path, text.as_bytes()).map_err(TrainError::writing(&path))?;
        let curve = learning_curve(trainer.history(), set, kept_epoch);
        save_png(&curve.draw(), &folder.join("learning_curve.png"))?;
        Ok(report)
    }

    /// Returns all results as JSON, without times, so that equal runs give equal bytes.
    #[must_use]
    pub fn to_json(&self, history: &History, set: &TrainingSet) -> Value {
        let kept = usize::try_from(self.kept_epoch).ok().and_then(|e| history.records.get(e.wrapping_sub(1)));
        let j = &self.model.judgement;
        let mut value = self.model.headline_json();
        let run = json!({
            "ending": match self.ending {
                Ending::Finished => "finished",
                Ending::EarlyStopped => "early-stopped",
                Ending::Interrupted => "interrupted",
            },
            "epochs": self.epochs,
            "kept_epoch": self.kept_epoch,
            "kept": kept.map(metrics),
            "classes": set.class_names,
            "train_images": set.train.len(),
            "validation_images": set.validation.len(),
            "p_value": j.p_value,
            "accuracy_p_value": j.accuracy_p,
            "ranking_p_value": j.ranking_p,
            "largest_class": j.largest_class,
            "largest_class_images": j.largest,
            "auc": j.auc,
            "expected_calibration_error": self.model.calibration.as_ref().map(|c| c.error),
            "problems": self.model.problems,
        });
        if let (Some(all), Value::Object(run)) = (value.as_object_mut(), run) {
            all.extend(run);
        }
        value
    }
}

fn metrics(record: &EpochRecord) -> Value {
    json!({
        "loss": record.loss,
        "accuracy": record.accuracy,
        "auc": record.auc,
        "val_loss": record.val_loss,
        "val_accuracy": record.val_accuracy,
        "val_auc": record.val_auc,
    })
}

fn validation_logits(model: &Model, set: &TrainingSet) -> Result<Vec<f32>, TrainError> {
    let predictor = Predictor::new(model)?;
    let mut logits = Vec::new();
    for batch in set.validation.chunks(64) {
        let images: Vec<f32> = batch.iter().flat_map(|&i| set.image(i)).copied().collect();
        logits.extend(predictor.logits(&images, batch.len())?);
    }
    Ok(logits)
}

/// Draws loss and accuracy, with baselines that use the class sizes alone.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn learning_curve(history: &History, set: &TrainingSet, kept_epoch: u64) -> LearningCurve {
    let column = |name: &str, pick: fn(&EpochRecord) -> Option<f64>| Curve {
        name: name.to_owned(),
        values: history.records.iter().map(|r| pick(r).map_or(f32::NAN, |v| v as f32)).collect(),
    };
    let with_validation = |train: Curve, validation: Curve| {
        if set.validation.is_empty() { vec![train] } else { vec![train, validation] }
    };
    let counts = set.class_counts();
    let shares: Vec<f64> = counts.iter().map(|&c| c as f64 / set.train.len().max(1) as f64).collect();
    let entropy: f64 = shares.iter().filter(|s| **s > 0.0).map(|s| -s * s.ln()).sum();
    let largest = shares.iter().copied().fold(0.0, f64::max);
    let loss = Panel {
        title: "loss (cross-entropy)".to_owned(),
        curves: with_validation(column("training", |r| r.loss), column("validation", |r| r.val_loss)),
        reference: Some((entropy as f32, "baseline: class frequencies".to_owned())),
    };
    let accuracy = Panel {
        title: "accuracy".to_owned(),
        curves: with_validation(column("training", |r| r.accuracy), column("validation", |r| r.val_accuracy)),
        reference: Some((largest as f32, "majority-class baseline".to_owned())),
    };
    LearningCurve {
        title: "Learning curve".to_owned(),
        panels: vec![loss, accuracy],
        mark: usize::try_from(kept_epoch).ok().map(|e| (e, "kept".to_owned())),
    }
}
