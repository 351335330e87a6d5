//! Recipes: named sets of training settings, one per row of [`RECIPES`].
//!
//! The user chooses a recipe and optionally overrides individual settings ([`Choices`]); [`Recipe::settings`]
//! derives the rest from the number of images.

use std::str::FromStr;

use crate::data::Split;
use crate::nearest::{Named, name_of, named};
use crate::train::TrainError;
use crate::train::arch::{self, Architecture};
use crate::train::augment::Augmentation;
use crate::train::class_weight::ClassWeight;
use crate::train::fit::{Stopping, TrainingSettings};
use crate::train::optimizer::Algorithm;
use crate::train::schedule::Schedule;

/// A named set of training settings.
#[derive(Debug)]
pub struct Recipe {
    /// Id used on the command line.
    pub id: &'static str,
    /// One-line description.
    pub summary: &'static str,
    /// Maximum number of pixels (height × width) of the training images; larger image files are scaled down. `None`
    /// keeps their size, and files of different sizes are an error.
    pub max_pixels: Option<usize>,
    /// Returns the share of the images to hold out, given the number of images per class.
    held_out: fn(&[usize]) -> f64,
    /// Returns the default values, given the number of training images.
    plan: fn(usize, &Choices) -> Plan,
}

/// All recipes; the first is the default.
pub static RECIPES: &[Recipe] = &[
    Recipe {
        id: "default",
        summary: "for 100 to 10,000 images of any size: gap-cnn-deep, Adam at 2e-3 with cosine decay, about \
            400 steps, balanced class weights",
        max_pixels: Some(MAX_PIXELS),
        held_out,
        plan,
    },
    Recipe {
        id: "keras-two-class",
        summary: "the small two-class network of many Keras tutorials: gap-cnn, Adam at 1e-4, 10 epochs, batches of 64, 5 % held out",
        max_pixels: None,
        held_out: |_| 0.05,
        plan: |_, _| Plan {
            architecture: "gap-cnn",
            epochs: 10,
            batch_size: 64,
            learning_rate: 1e-4,
            rate: RateChange::Constant,
            patience: 5,
            monitor: "loss",
            min_delta: 0.0,
            class_weight: ClassWeight::None,
        },
    },
];

/// 128 × 128: an object of 5 % of the image's width still has six pixels, and an epoch of 1000 images takes
/// seconds.
const MAX_PIXELS: usize = 1 << 14;

/// Returns all recipes with their names on the command line.
pub fn recipes() -> impl Iterator<Item = Named<&'static Recipe>> {
    RECIPES.iter().map(|recipe| (recipe.id, recipe.summary, recipe))
}

/// Returns the recipe with the given id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Recipe> {
    RECIPES.iter().find(|recipe| recipe.id == id)
}

/// Kind of learning rate schedule: [`Schedule`] without the parameters that follow from other settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateChange {
    /// Constant rate.
    Constant,
    /// Warm-up over the first tenth of the epochs, then half a cosine down to 0.
    Cosine,
    /// Reduction to a tenth whenever the monitored metric has not improved for half the patience.
    ReduceOnPlateau,
}

impl FromStr for RateChange {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(word, Self::ALL)
    }
}

impl RateChange {
    /// All kinds, with their names on the command line.
    pub const ALL: [Named<Self>; 3] = [
        ("constant", "The same in every epoch", Self::Constant),
        (
            "cosine",
            "Rises over the first tenth of the epochs, then falls to 0 along half a cosine",
            Self::Cosine,
        ),
        (
            "reduce-on-plateau",
            "A tenth whenever the monitored number stands still for half the patience",
            Self::ReduceOnPlateau,
        ),
    ];

    /// Returns the kind of a schedule.
    #[must_use]
    pub fn of(schedule: &Schedule) -> Self {
        match schedule {
            Schedule::Constant => Self::Constant,
            Schedule::Cosine { .. } => Self::Cosine,
            Schedule::ReduceOnPlateau { .. } => Self::ReduceOnPlateau,
        }
    }

    /// Returns the name used on the command line.
    #[must_use]
    pub fn id(self) -> &'static str {
        name_of(&self, &Self::ALL)
    }
}

/// Settings chosen by the user; `None` leaves a setting to the recipe.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Network architecture.
    pub architecture: Option<&'static Architecture>,
    /// Number of passes over the training images.
    pub epochs: Option<u64>,
    /// Number of images per step.
    pub batch_size: Option<usize>,
    /// Optimizer; Adam if not given.
    pub algorithm: Option<Algorithm>,
    /// Learning rate.
    pub learning_rate: Option<f32>,
    /// Kind of learning rate schedule.
    pub rate: Option<RateChange>,
    /// Number of epochs without improvement before training stops; 0 disables early stopping.
    pub patience: Option<u64>,
    /// Metric monitored by early stopping: a column of `history.csv`.
    pub monitor: Option<String>,
    /// Class weights.
    pub class_weight: Option<ClassWeight>,
    /// Share of the images held out, 0 to 1.
    pub validation_split: Option<f64>,
    /// Selection of the held-out images; a stratified random sample if not given.
    pub split: Option<Split>,
    /// Augmentation of the training images; none if not given.
    pub augmentation: Augmentation,
    /// True if the order of the images is the same in every epoch.
    pub fixed_order: bool,
    /// True to save the weights of the last epoch rather than the best.
    pub keep_last: bool,
    /// Seed of weights, order, split and augmentation.
    pub seed: u64,
}

/// Values of a recipe for a given number of images.
struct Plan {
    architecture: &'static str,
    epochs: u64,
    batch_size: usize,
    learning_rate: f32,
    rate: RateChange,
    patience: u64,
    monitor: &'static str,
    min_delta: f64,
    class_weight: ClassWeight,
}

impl Recipe {
    /// Returns the kind of split and the share of images to hold out, from 0 to less than 1: the user's choice, or
    /// else derived from the number of images per class.
    #[must_use]
    pub fn split(&self, choices: &Choices, counts: &[usize]) -> (Split, f64) {
        let fraction = choices.validation_split.unwrap_or_else(|| (self.held_out)(counts));
        (choices.split.unwrap_or(Split::Stratified), fraction)
    }

    /// Returns the settings for the given numbers of training images per class and of validation images.
    ///
    /// # Errors
    /// If the recipe names an unknown network.
    pub fn settings(
        &self,
        choices: &Choices,
        train: &[usize],
        validation: usize,
    ) -> Result<TrainingSettings, TrainError> {
        let mut plan = (self.plan)(train.iter().sum(), choices);
        // Label numbers may have gaps, and a class without images cannot be balanced.
        if train.contains(&0) {
            plan.class_weight = ClassWeight::None;
        }
        let missing = || TrainError::Setting(format!("the network {:?} does not exist", plan.architecture));
        let epochs = choices.epochs.unwrap_or(plan.epochs);
        let patience = choices.patience.unwrap_or(plan.patience);
        // Without validation images there is no validation loss to monitor.
        let monitor = if validation == 0 { plan.monitor.trim_start_matches("val_") } else { plan.monitor };
        let metric = choices.monitor.clone().unwrap_or_else(|| monitor.to_owned());
        Ok(TrainingSettings {
            architecture: match choices.architecture {
                Some(architecture) => architecture,
                None => arch::find(plan.architecture).ok_or_else(missing)?,
            },
            epochs,
            batch_size: choices.batch_size.unwrap_or(plan.batch_size),
            algorithm: choices.algorithm.unwrap_or_default(),
            learning_rate: choices.learning_rate.unwrap_or(plan.learning_rate),
            schedule: match choices.rate.unwrap_or(plan.rate) {
                RateChange::Constant => Schedule::Constant,
                RateChange::Cosine => Schedule::Cosine { warm_up: epochs / 10, min_lr: 0.0 },
                RateChange::ReduceOnPlateau => Schedule::ReduceOnPlateau {
                    metric: metric.clone(),
                    factor: 0.1,
                    patience: patience.div_ceil(2).max(1),
                    min_delta: 1e-4,
                    min_lr: 0.0,
                },
            },
            early_stopping: (patience > 0).then_some(Stopping {
                metric,
                patience,
                min_delta: plan.min_delta,
            }),
            class_weight: choices.class_weight.clone().unwrap_or(plan.class_weight),
            augmentation: choices.augmentation,
            shuffle: !choices.fixed_order,
            keep_best: !choices.keep_last,
            seed: choices.seed,
        })
    }
}

/// Returns a share of a fifth, raised to 40 images and limited to 1000; at most two fifths.
#[allow(clippy::cast_precision_loss)] // counts of images
fn held_out(counts: &[usize]) -> f64 {
    const SHARE: f64 = 0.2;
    const LARGEST_SHARE: f64 = 0.4;
    const FEWEST: f64 = 40.0;
    const MOST: f64 = 1000.0;
    let images = counts.iter().sum::<usize>().max(1) as f64;
    SHARE.min(MOST / images).max(FEWEST / images).min(LARGEST_SHARE)
}

/// Returns enough steps for a network with batch normalization to learn, whatever the number of images.
fn plan(train: usize, choices: &Choices) -> Plan {
    const STEPS: usize = 400;
    const SMALL_SET: usize = 1000;
    const EPOCHS: (usize, usize) = (8, 60);
    let batch_size = choices.batch_size.unwrap_or(if train < SMALL_SET { 16 } else { 32 });
    let steps = train.div_ceil(batch_size.max(1)).max(1);
    let epochs = choices.epochs.unwrap_or_else(|| STEPS.div_ceil(steps).clamp(EPOCHS.0, EPOCHS.1) as u64);
    Plan {
        architecture: "gap-cnn-deep",
        epochs,
        batch_size,
        learning_rate: 2e-3,
        rate: RateChange::Cosine,
        patience: (epochs / 4).max(8),
        monitor: "val_loss",
        min_delta: 5e-3,
        class_weight: ClassWeight::Balanced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(id: &str, choices: &Choices, images: usize) -> TrainingSettings {
        find(id).unwrap().settings(choices, &[images / 2, images / 2], 40).unwrap()
    }

    #[test]
    fn the_default_does_some_400_steps_whatever_the_number_of_images() {
        let of = |images| {
            let s = settings("default", &Choices::default(), images);
            (s.epochs, s.batch_size, s.early_stopping.map(|s| (s.metric, s.patience)))
        };
        let watched = |patience| Some(("val_loss".to_owned(), patience));
        assert_eq!(of(60), (60, 16, watched(15)));
        assert_eq!(of(160), (40, 16, watched(10)));
        assert_eq!(of(1600), (8, 32, watched(8)));
        assert_eq!(of(9000), (8, 32, watched(8)));
    }

    #[test]
    fn at_least_40_images_are_held_out() {
        let share = |counts: &[usize]| find("default").unwrap().split(&Choices::default(), counts).1;
        assert_eq!(share(&[15, 15]), 0.4);
        assert_eq!(share(&[50, 50]), 0.4);
        assert_eq!(share(&[80, 80]), 0.25);
        assert_eq!(share(&[900, 100]), 0.2);
        assert_eq!(share(&[5000, 5000]), 0.1);
    }

    #[test]
    fn a_single_choice_overrides_its_part_alone() {
        let choices = Choices { epochs: Some(30), monitor: Some("loss".to_owned()), ..Choices::default() };
        let mine = settings("default", &choices, 160);
        assert_eq!((mine.epochs, mine.batch_size, mine.learning_rate), (30, 16, 2e-3));
        let stopping = mine.early_stopping.unwrap();
        assert_eq!((stopping.metric.as_str(), stopping.patience), ("loss", 8));
        let never = settings("default", &Choices { patience: Some(0), ..Choices::default() }, 160);
        assert_eq!(never.early_stopping, None);
    }

    #[test]
    fn the_two_class_case_is_fixed() {
        let case = settings("keras-two-class", &Choices::default(), 2000);
        assert_eq!(case.architecture.id, "gap-cnn");
        assert_eq!((case.epochs, case.batch_size, case.learning_rate), (10, 64, 1e-4));
        assert_eq!((case.schedule, case.class_weight), (Schedule::Constant, ClassWeight::None));
        let watched = Stopping { metric: "loss".to_owned(), patience: 5, min_delta: 0.0 };
        assert_eq!(case.early_stopping, Some(watched));
        let split = find("keras-two-class").unwrap().split(&Choices::default(), &[1000, 1000]);
        assert_eq!(split, (Split::Stratified, 0.05));
    }

    #[test]
    fn classes_without_images_and_runs_without_validation_have_settings_too() {
        let default = find("default").unwrap();
        let skipped = default.settings(&Choices::default(), &[50, 0, 50], 40).unwrap();
        assert_eq!(skipped.class_weight, ClassWeight::None);
        let alone = default.settings(&Choices::default(), &[50, 50], 0).unwrap();
        assert_eq!(alone.early_stopping.unwrap().metric, "loss");
    }
}
