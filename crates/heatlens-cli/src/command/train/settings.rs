//! From flags to settings, and how a run remembers its flags.

use std::fs;
use std::path::Path;

use heatlens::data::Split;
use heatlens::train::arch::{self, ARCHITECTURES};
use heatlens::train::augment::Augmentation;
use heatlens::train::class_weight::ClassWeight;
use heatlens::train::fit::Settings;
use heatlens::train::optimizer::Algorithm;
use heatlens::train::schedule::Schedule;
use serde_json::{Value, json};

use crate::arguments::{Keep, Train};
use crate::failure::Failure;

/// The settings that the flags ask for.
pub(crate) fn settings(options: &Train) -> Result<Settings, Failure> {
    let (network, schedule, augmentation) = (&options.network, &options.schedule, &options.augmentation);
    let names: Vec<&str> = ARCHITECTURES.iter().map(|a| a.id).collect();
    let unknown =
        |flag: &str, found: &str, known: &str| Failure::usage(format!("{flag} {found}: expected {known}"));
    let betas = [0.9, 0.999];
    Ok(Settings {
        architecture: arch::find(&network.arch)
            .ok_or_else(|| unknown("--arch", &network.arch, &names.join(" or ")))?,
        epochs: schedule.epochs as u64,
        batch_size: schedule.batch_size,
        algorithm: match schedule.optimizer.as_str() {
            "adam" => Algorithm::Adam { betas, epsilon: 1e-7 },
            "adamw" => Algorithm::AdamW { betas, epsilon: 1e-7, weight_decay: schedule.weight_decay },
            "sgd" => Algorithm::Sgd { momentum: schedule.momentum, nesterov: false },
            other => return Err(unknown("--optimizer", other, "adam, adamw or sgd")),
        },
        learning_rate: schedule.learning_rate,
        schedule: match schedule.lr_schedule.as_str() {
            "constant" => Schedule::Constant,
            "cosine" => Schedule::Cosine { warm_up: 0, min_lr: 0.0 },
            "reduce-on-plateau" => Schedule::ReduceOnPlateau {
                metric: schedule.monitor.clone(),
                factor: 0.1,
                patience: (schedule.patience as u64).div_ceil(2).max(1),
                min_delta: 1e-4,
                min_lr: 0.0,
            },
            other => return Err(unknown("--lr-schedule", other, "constant, cosine or reduce-on-plateau")),
        },
        early_stopping: (schedule.patience > 0).then(|| (schedule.monitor.clone(), schedule.patience as u64)),
        class_weight: class_weight(&schedule.class_weight)?,
        augmentation: Augmentation {
            flip_horizontal: augmentation.horizontal_flip,
            flip_vertical: augmentation.vertical_flip,
            shift: augmentation.shift,
            rotation: augmentation.rotation,
        },
        shuffle: !schedule.no_shuffle,
        keep_best: schedule.keep == Keep::Best,
        seed: network.seed,
    })
}

fn class_weight(text: &str) -> Result<ClassWeight, Failure> {
    match text {
        "none" => Ok(ClassWeight::None),
        "balanced" => Ok(ClassWeight::Balanced),
        numbers => {
            let weights: Result<Vec<f32>, _> = numbers.split(',').map(|n| n.trim().parse()).collect();
            let wrong = "expected none, balanced, or numbers such as 1,2.5";
            weights
                .map(ClassWeight::Explicit)
                .map_err(|_| Failure::usage(format!("--class-weight {numbers}: {wrong}")))
        }
    }
}

/// `stratified` or `last`.
pub(crate) fn split(text: &str) -> Result<Split, Failure> {
    match text {
        "stratified" => Ok(Split::Stratified),
        "last" => Ok(Split::Last),
        other => Err(Failure::usage(format!("--split {other}: expected stratified or last"))),
    }
}

/// What made a run: every flag that its result depends on. Times and places are left out.
pub(crate) fn as_json(options: &Train) -> Value {
    let (n, s, v, a) = (&options.network, &options.schedule, &options.validation, &options.augmentation);
    json!({
        "heatlens": env!("CARGO_PKG_VERSION"),
        "data": options.data,
        "rows": options.input.rows,
        "arch": n.arch, "size": n.size, "resize": n.resize, "channels": n.channels, "scale": n.scale, "seed": n.seed,
        "epochs": s.epochs, "batch_size": s.batch_size, "optimizer": s.optimizer,
        "learning_rate": s.learning_rate, "momentum": s.momentum, "weight_decay": s.weight_decay,
        "lr_schedule": s.lr_schedule, "patience": s.patience, "monitor": s.monitor,
        "class_weight": s.class_weight, "keep": format!("{:?}", s.keep).to_lowercase(), "shuffle": !s.no_shuffle,
        "validation_split": v.validation_split, "split": v.split, "validation_data": v.validation_data,
        "horizontal_flip": a.horizontal_flip, "vertical_flip": a.vertical_flip,
        "shift": a.shift, "rotation": a.rotation,
    })
}

/// A run goes on only as it began.
pub(crate) fn check_same(path: &Path, now: &Value) -> Result<(), Failure> {
    let nothing = |e: &dyn std::fmt::Display| {
        Failure::new(format!("there is no run to resume: {}: {e}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|e| nothing(&e))?;
    let then: Value = serde_json::from_str(&text).map_err(|e| nothing(&e))?;
    let changed = |key: &&String| then[key.as_str()] != now[key.as_str()];
    let keys: Vec<&String> = now.as_object().map(|o| o.keys().filter(changed).collect()).unwrap_or_default();
    if keys.is_empty() {
        return Ok(());
    }
    let describe = |key: &&String| format!("{key} was {}, is {}", then[key.as_str()], now[key.as_str()]);
    let list: Vec<String> = keys.iter().map(describe).collect();
    let advice = "repeat the flags that began the run, or start a new one in another folder";
    Err(Failure::new(format!("the run began otherwise ({}); {advice}", list.join("; "))))
}
