//! What a training run remembers of its settings.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::run::RunError;
use crate::train::fit::Settings;
use crate::train::recipe::RateChange;

/// Files that a run leaves in its folder besides `run.json`.
const RESULTS: [&str; 6] = [
    "checkpoint.safetensors",
    "history.csv",
    "timing.csv",
    "model.onnx",
    "metrics.json",
    "learning_curve.png",
];

/// Every setting that the result depends on, and what else was given. Times and places of results are left out.
pub(super) fn settings(settings: &Settings, held_out: f64, given: Map<String, Value>) -> Map<String, Value> {
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

/// Removes what an earlier run left in a folder, so that nothing of it mixes with the new one.
pub(super) fn discard(out: &Path) -> Result<(), RunError> {
    for path in RESULTS.map(|name| out.join(name)) {
        if path.exists() {
            fs::remove_file(&path).map_err(RunError::writing(&path))?;
        }
    }
    Ok(())
}
