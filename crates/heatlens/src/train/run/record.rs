//! Settings of a training run as stored in `run.json`.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::run::RunError;
use crate::train::fit::TrainingSettings;
use crate::train::recipe::RateChange;

/// Files that a run writes to its folder besides `run.json`.
const RESULTS: [&str; 6] = [
    "checkpoint.safetensors",
    "history.csv",
    "timing.csv",
    "model.onnx",
    "metrics.json",
    "learning_curve.png",
];

/// Returns every setting that affects the result, and the user's other choices, without times and output paths.
pub(super) fn settings(
    settings: &TrainingSettings,
    held_out: f64,
    given: Map<String, Value>,
) -> Map<String, Value> {
    let (stopping, augmentation) = (settings.early_stopping.as_ref(), settings.augmentation);
    let record = json!({
        "arch": settings.architecture.id,
        "seed": settings.seed,
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "optimizer": settings.algorithm.name(),
        "learning_rate": settings.learning_rate,
        "lr_schedule": RateChange::of(&settings.schedule).id(),
        "patience": stopping.map_or(0, |s| s.patience),
        "monitor": stopping.map(|s| &s.metric),
        "class_weight": settings.class_weight.to_string(),
        "keep": if settings.keep_best { "best" } else { "last" },
        "shuffle": settings.shuffle,
        "validation_split": held_out,
        "horizontal_flip": augmentation.flip_horizontal,
        "vertical_flip": augmentation.flip_vertical,
        "shift": augmentation.shift,
        "rotation": augmentation.rotation,
    });
    let Value::Object(mut all) = record else { return given };
    all.extend(given);
    all
}

/// Removes the files of an earlier run, so that they do not mix with those of the new one.
pub(super) fn discard(out: &Path) -> Result<(), RunError> {
    for path in RESULTS.map(|name| out.join(name)) {
        if path.exists() {
            fs::remove_file(&path).map_err(RunError::writing(&path))?;
        }
    }
    Ok(())
}
