//! Conversion of flags to the choices of a recipe, and to the arguments recorded with a run.

use heatlens::train::augment::Augmentation;
use heatlens::train::optimizer::Algorithm;
use heatlens::train::recipe::Choices;
use serde_json::{Map, Value, json};

use crate::arguments::Train;

/// Returns the parts of a recipe that the flags override.
pub(crate) fn choices(options: &Train) -> Choices {
    let (network, schedule, augmentation) = (&options.network, &options.schedule, &options.augmentation);
    Choices {
        architecture: network.arch,
        epochs: schedule.epochs.map(|n| n as u64),
        batch_size: schedule.batch_size,
        algorithm: Algorithm::named(&schedule.optimizer, schedule.momentum, schedule.weight_decay),
        learning_rate: schedule.learning_rate,
        rate: schedule.lr_schedule,
        patience: schedule.patience.map(|n| n as u64),
        monitor: schedule.monitor.clone(),
        class_weight: schedule.class_weight.clone(),
        validation_split: options.validation.validation_split,
        split: Some(options.validation.split),
        augmentation: Augmentation {
            flip_horizontal: augmentation.horizontal_flip,
            flip_vertical: augmentation.vertical_flip,
            shift: augmentation.shift,
            rotation: augmentation.rotation,
        },
        fixed_order: schedule.no_shuffle,
        keep_last: schedule.keep_last,
        seed: network.seed,
    }
}

/// Returns the arguments of a run besides its settings, without times and output paths.
pub(crate) fn given(options: &Train) -> Map<String, Value> {
    let (network, schedule, validation) = (&options.network, &options.schedule, &options.validation);
    let given = json!({
        "data": options.data,
        "rows": options.input.rows,
        "recipe": schedule.recipe.id,
        "size": network.size,
        "resize": network.resize.to_string(),
        "channels": network.channels,
        "scale": network.scale,
        "momentum": schedule.momentum,
        "weight_decay": schedule.weight_decay,
        "split": validation.split.name(),
        "validation_data": validation.validation_data,
    });
    given.as_object().cloned().unwrap_or_default()
}
