//! Advice for a model that did not learn.

use crate::train::TrainingSet;
use crate::train::fit::TrainingSettings;
use crate::train::history::History;
use crate::train::recipe::RECIPES;
use crate::train::report::TrainingReport;
use crate::train::schedule::Schedule;
use crate::trust::significance::{Untestable, Verdict};

/// A suggested next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Advice {
    /// Use the settings of the default recipe.
    DefaultRecipe,
    /// Hold out this share of the images, so that there are enough for the evaluation.
    HoldOut(f64),
    /// Train longer, with augmentation: the model has memorized its images.
    Augment {
        /// Number of epochs.
        epochs: u64,
    },
    /// Train on larger images, given as height and width: the files have more detail.
    Enlarge([usize; 2]),
    /// Train longer.
    Longer {
        /// Number of epochs.
        epochs: u64,
    },
    /// Use a different seed for the initial weights and the split.
    Seed(u64),
}

/// Minimum training accuracy at which a model that fails on other images has memorized its own.
const BY_HEART: f64 = 0.9;
/// Shares to hold out if there were too few images for the evaluation.
const SHARES: [f64; 2] = [0.4, 0.5];

impl Advice {
    /// Returns the advice after a run, or `None` if the model learned. `usual` are the default recipe's settings
    /// for these images; `original` is the height and width of the image files.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // counts of images
    pub fn after(
        report: &TrainingReport,
        history: &History,
        set: &TrainingSet,
        settings: &TrainingSettings,
        usual: &TrainingSettings,
        original: Option<[usize; 2]>,
    ) -> Option<Self> {
        match report.model.judgement.verdict {
            Verdict::Learned => return None,
            Verdict::Unknown(Untestable::TooFew | Untestable::NoLabels | Untestable::OneClass) => {
                let share = set.validation.len() as f64 / set.labels.len().max(1) as f64;
                if let Some(more) = SHARES.into_iter().find(|s| *s > share + 0.02) {
                    return Some(Self::HoldOut(more));
                }
            }
            _ => {}
        }
        let same = settings.architecture.id == usual.architecture.id
            && settings.algorithm == usual.algorithm
            && settings.learning_rate == usual.learning_rate
            && settings.schedule == Schedule::Cosine { warm_up: settings.epochs / 10, min_lr: 0.0 }
            && settings.batch_size == usual.batch_size
            && settings.epochs >= usual.epochs;
        if !same {
            return Some(Self::DefaultRecipe);
        }
        let [_, h, w] = set.preprocessing.shape();
        let larger = original.filter(|[oh, ow]| oh * ow > 2 * h * w);
        let by_heart = history.records.last().and_then(|r| r.accuracy).is_some_and(|a| a >= BY_HEART);
        let tried_longer = settings.epochs >= 3 * usual.epochs;
        Some(match larger {
            _ if !settings.augmentation.is_identity() => Self::Seed(settings.seed + 1),
            _ if by_heart || tried_longer => Self::Augment { epochs: settings.epochs.max(2 * usual.epochs) },
            Some([oh, ow]) => Self::Enlarge([oh.min(2 * h), ow.min(2 * w)]),
            None => Self::Longer { epochs: 3 * usual.epochs },
        })
    }

    /// Returns the corresponding options of `heatlens train`.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let text = match self {
            Self::DefaultRecipe => format!("--recipe {}", RECIPES[0].id),
            Self::HoldOut(share) => format!("--validation-split {share}"),
            Self::Augment { epochs } => format!("--epochs {epochs} --horizontal-flip --shift 0.1"),
            Self::Enlarge([h, w]) => format!("--size {h}x{w}"),
            Self::Longer { epochs } => format!("--epochs {epochs} --patience 0"),
            Self::Seed(seed) => format!("--seed {seed}"),
        };
        text.split(' ').map(str::to_owned).collect()
    }

    /// Returns the reason as a phrase.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::DefaultRecipe => "the default settings",
            Self::HoldOut(_) => "more held-out images",
            Self::Augment { .. } => "more varied images, since it memorised the training images",
            Self::Enlarge(_) => "larger images",
            Self::Longer { .. } => "more epochs",
            Self::Seed(_) => "other initial weights and another split",
        }
    }
}
