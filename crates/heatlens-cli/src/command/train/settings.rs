//! From flags to a recipe and what is chosen of it, and how a run remembers its settings.

use std::fs;
use std::path::Path;

use heatlens::data::Split;
use heatlens::train::arch::{self, ARCHITECTURES};
use heatlens::train::augment::Augmentation;
use heatlens::train::class_weight::ClassWeight;
use heatlens::train::fit::Settings;
use heatlens::train::optimizer::Algorithm;
use heatlens::train::recipe::{self, Choices, RECIPES, RateChange, Recipe};
use serde_json::{Value, json};

use crate::arguments::{Keep, Train};
use crate::failure::Failure;

fn unknown(flag: &str, found: &str, known: &[&str]) -> Failure {
    let (last, others) = known.split_last().map_or(("", &[][..]), |(last, others)| (*last, others));
    Failure::usage(format!("{flag} {found}: expected {} or {last}", others.join(", ")))
}

/// The recipe that the flags name.
pub(crate) fn recipe(options: &Train) -> Result<&'static Recipe, Failure> {
    let ids: Vec<&str> = RECIPES.iter().map(|r| r.id).collect();
    recipe::find(&options.recipe).ok_or_else(|| unknown("--recipe", &options.recipe, &ids))
}

/// The parts of a recipe that the flags override.
pub(crate) fn choices(options: &Train) -> Result<Choices, Failure> {
    let (network, schedule, augmentation) = (&options.network, &options.schedule, &options.augmentation);
    let architecture = |id: &String| {
        let ids: Vec<&str> = ARCHITECTURES.iter().map(|a| a.id).collect();
        arch::find(id).ok_or_else(|| unknown("--arch", id, &ids))
    };
    let rate = |id: &String| {
        let found = RateChange::ALL.into_iter().find(|rate| rate.id() == id);
        found.ok_or_else(|| unknown("--lr-schedule", id, &RateChange::ALL.map(RateChange::id)))
    };
    let betas = [0.9, 0.999];
    Ok(Choices {
        architecture: network.arch.as_ref().map(architecture).transpose()?,
        epochs: schedule.epochs.map(|n| n as u64),
        batch_size: schedule.batch_size,
        algorithm: Some(match schedule.optimizer.as_str() {
            "adam" => Algorithm::Adam { betas, epsilon: 1e-7 },
            "adamw" => Algorithm::AdamW { betas, epsilon: 1e-7, weight_decay: schedule.weight_decay },
            "sgd" => Algorithm::Sgd { momentum: schedule.momentum, nesterov: false },
            other => return Err(unknown("--optimizer", other, &["adam", "adamw", "sgd"])),
        }),
        learning_rate: schedule.learning_rate,
        rate: schedule.lr_schedule.as_ref().map(rate).transpose()?,
        patience: schedule.patience.map(|n| n as u64),
        monitor: schedule.monitor.clone(),
        class_weight: schedule.class_weight.as_deref().map(class_weight).transpose()?,
        validation_split: options.validation.validation_split,
        split: Some(split(&options.validation.split)?),
        augmentation: Augmentation {
            flip_horizontal: augmentation.horizontal_flip,
            flip_vertical: augmentation.vertical_flip,
            shift: augmentation.shift,
            rotation: augmentation.rotation,
        },
        fixed_order: schedule.no_shuffle,
        keep_last: schedule.keep == Keep::Last,
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
fn split(text: &str) -> Result<Split, Failure> {
    match text {
        "stratified" => Ok(Split::Stratified),
        "last" => Ok(Split::Last),
        other => Err(Failure::usage(format!("--split {other}: expected stratified or last"))),
    }
}

/// What made a run: every setting that its result depends on, as the recipe and the flags have it. Times and places
/// are left out.
pub(crate) fn as_json(options: &Train, settings: &Settings, held_out: f64) -> Value {
    let (n, s, v, a) = (&options.network, &options.schedule, &options.validation, &options.augmentation);
    let stopping = settings.early_stopping.as_ref();
    json!({
        "heatlens": env!("CARGO_PKG_VERSION"),
        "data": options.data,
        "rows": options.input.rows,
        "recipe": options.recipe,
        "arch": settings.architecture.id, "size": n.size, "resize": n.resize, "channels": n.channels, "scale": n.scale,
        "seed": n.seed,
        "epochs": settings.epochs, "batch_size": settings.batch_size, "optimizer": s.optimizer,
        "learning_rate": settings.learning_rate, "momentum": s.momentum, "weight_decay": s.weight_decay,
        "lr_schedule": RateChange::of(&settings.schedule).id(),
        "patience": stopping.map_or(0, |s| s.patience), "monitor": stopping.map(|s| &s.metric),
        "class_weight": settings.class_weight.to_string(),
        "keep": format!("{:?}", s.keep).to_lowercase(), "shuffle": !s.no_shuffle,
        "validation_split": held_out, "split": v.split, "validation_data": v.validation_data,
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
