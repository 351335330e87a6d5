//! The demo: the whole job on images whose answer is known.
//!
//! [`write_data`] puts the images on disk as a person would have them, [`settings`] trains the
//! two-class network on them, and [`localise`] counts how much of each method's heat falls on the
//! object, which nobody told the model about.

mod data;

use crate::demo_data::{CLASS_NAMES, DemoImage, SIDE};
use crate::explain::{ExplainError, ExplainOptions, Explainer, Target};
use crate::method::{METHODS, Method, Work};
use crate::metric::{chance_share, energy_share};
use crate::model::Model;
use crate::train::arch;
use crate::train::augment::Augmentation;
use crate::train::class_weight::ClassWeight;
use crate::train::fit::Settings;
use crate::train::optimizer::Algorithm;
use crate::train::schedule::Schedule;

pub use data::{DemoFolders, write_data};

/// Images to train on and to judge by, written as files.
pub const IMAGES: usize = 2800;

/// Share of them that the model is judged by.
pub const VALIDATION: f64 = 1.0 / 7.0;

/// Images nobody trained on, to be explained.
pub const SHOWN: usize = 60;

/// How the demo trains: the two-class network as it is, with the larger step and the longer
/// training that global average pooling wants. At a step of 5e-3 one seed in five died: all its
/// ReLUs fell silent in the first epochs.
#[must_use]
pub fn settings(seed: u64) -> Option<Settings> {
    Some(Settings {
        architecture: arch::find("gap-cnn")?,
        epochs: 80,
        batch_size: 32,
        algorithm: Algorithm::default(),
        learning_rate: 3e-3,
        schedule: Schedule::Cosine { warm_up: 0, min_lr: 0.0 },
        early_stopping: None,
        class_weight: ClassWeight::None,
        augmentation: Augmentation::default(),
        shuffle: true,
        keep_best: true,
        seed,
    })
}

/// How much of a method's heat falls on the object.
#[derive(Clone, Debug)]
pub struct Localisation {
    /// The method.
    pub method: &'static Method,
    /// The mean share over the images with the object, from 0 to 1.
    pub share: f64,
    /// The mean share of evenly spread heat.
    pub chance: f64,
}

impl Localisation {
    /// How many times the share of chance it is.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.share / self.chance
    }
}

/// Measures every method that explains in one pass on the images that have the object, for the class of the object. An
/// image without any heat counts as a share of 0.
///
/// # Errors
/// If the model cannot be explained.
pub fn localise(model: &Model, images: &[DemoImage]) -> Result<Vec<Localisation>, ExplainError> {
    let with: Vec<&DemoImage> = images.iter().filter(|image| image.label == 1).collect();
    let methods: Vec<_> = METHODS.iter().copied().filter(|m| matches!(m.work, Work::Graph(_))).collect();
    let options =
        ExplainOptions { target: Target::Class(1), skip_inapplicable: true, ..ExplainOptions::new(&methods) };
    let explainer = Explainer::new(model, &options)?;
    let pixels: Vec<f32> = with.iter().flat_map(|image| image.to_f32()).collect();
    let explanations = explainer.explain(&pixels, with.len())?;
    #[allow(clippy::cast_precision_loss)] // a handful of images
    let count = with.len().max(1) as f64;
    let chance = with.iter().map(|image| chance_share(&image.mask)).sum::<f64>() / count;
    let mean = |map: usize| {
        let share = |(image, explanation): (&&DemoImage, &crate::explain::Explanation)| {
            energy_share(&explanation.attributions[map], [SIDE, SIDE], &image.mask).unwrap_or(0.0)
        };
        with.iter().zip(&explanations).map(share).sum::<f64>() / count
    };
    Ok(explainer
        .maps()
        .iter()
        .enumerate()
        .map(|(map, spec)| Localisation { method: spec.method, share: mean(map), chance })
        .collect())
}

/// The names of the two classes, as the model is given them.
#[must_use]
pub fn class_names() -> Vec<String> {
    CLASS_NAMES.iter().map(|&name| name.to_owned()).collect()
}
