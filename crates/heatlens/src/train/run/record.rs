//! `run.json`: what made a run, so that it goes on only as it began.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::data::write_atomically;
use crate::train::TrainError;
use crate::train::fit::Settings;
use crate::train::recipe::RateChange;

/// Files that a run leaves in its folder besides `run.json`.
pub(super) const RESULTS: [&str; 6] = [
    "checkpoint.safetensors",
    "history.csv",
    "timing.csv",
    "model.onnx",
    "metrics.json",
    "learning_curve.png",
];

/// Every setting that the result depends on, and what else was given. Times and places of results are left out.
pub(super) fn of(settings: &Settings, held_out: f64, given: Value) -> Value {
    let (stopping, augmentation) = (settings.early_stopping.as_ref(), settings.augmentation);
    let mut record = json!({
        "heatlens": env!("CARGO_PKG_VERSION"),
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
    if let (Some(all), Value::Object(given)) = (record.as_object_mut(), given) {
        all.extend(given);
    }
    record
}

/// Begins a run: removes what an earlier one left, so that nothing of it mixes with the new one, and writes `run.json`.
pub(super) fn begin(out: &Path, record: &Value) -> Result<(), TrainError> {
    for path in RESULTS.map(|name| out.join(name)) {
        if path.exists() {
            let wrong = |e| TrainError::Setting(format!("cannot remove {}: {e}", path.display()));
            fs::remove_file(&path).map_err(wrong)?;
        }
    }
    let path = out.join("run.json");
    write_atomically(&path, format!("{record:#}\n").as_bytes()).map_err(TrainError::writing(&path))
}

/// A run goes on only as it began.
pub(super) fn check_same(path: &Path, now: &Value) -> Result<(), TrainError> {
    let nothing =
        |e: &dyn Display| TrainError::Setting(format!("there is no run to resume: {}: {e}", path.display()));
    let text = fs::read_to_string(path).map_err(|e| nothing(&e))?;
    let then: Value = serde_json::from_str(&text).map_err(|e| nothing(&e))?;
    let keys = now.as_object().into_iter().flatten().map(|(key, _)| key);
    let changed: Vec<String> = keys
        .filter(|key| then[key.as_str()] != now[key.as_str()])
        .map(|key| format!("{key} was {}, is {}", then[key.as_str()], now[key.as_str()]))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let advice = "repeat the flags that began the run, or start a new one in another folder";
    Err(TrainError::Setting(format!("the run began otherwise ({}); {advice}", changed.join("; "))))
}
