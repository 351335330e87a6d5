//! Flags of `heatlens demo` and `heatlens train`.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use heatlens::data::{Resize, Split};
use heatlens::nearest::Named;
use heatlens::train::arch::{Architecture, architectures};
use heatlens::train::class_weight::ClassWeight;
use heatlens::train::optimizer::Algorithm;
use heatlens::train::recipe::{RateChange, Recipe, recipes};

use super::shared::{Input, RunFolder};
use super::values::value;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  heatlens demo\n  heatlens demo --out /tmp/demo --seed 7")]
pub(crate) struct Demo {
    /// Folder for the results
    #[arg(short, long, value_name = "FOLDER", default_value = "heatlens-demo", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// Seed of the data set, the weights and the training
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Run")]
    pub(crate) seed: u64,
}

const TRAIN_EXAMPLES: &str = "\
Examples:
  heatlens train photos/ --out run                     one sub-folder for each class
  heatlens train data.npz --rows 0:2000 --out run --explain-rows 2000:
  heatlens train photos/ --out run --resume            after an interruption";

#[derive(Debug, Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub(crate) struct Train {
    /// Folder with one sub-folder for each class, an .npz with X and y, or X.npy beside y.npy
    ///
    /// The folder may also hold train/ and val/, each with one sub-folder for each class.
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) network: Network,
    #[command(flatten)]
    pub(crate) schedule: Schedule,
    #[command(flatten)]
    pub(crate) validation: Validation,
    #[command(flatten)]
    pub(crate) augmentation: Augmentation,
    #[command(flatten)]
    pub(crate) output: TrainOutput,
    #[command(flatten)]
    pub(crate) folder: RunFolder,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct Network {
    /// Network architecture [default: the recipe's]
    #[arg(long, value_name = "NAME", value_parser = value(architectures()))]
    pub(crate) arch: Option<&'static Architecture>,
    /// Size to resize image files to: 95x95 (height x width), or one number for a square
    ///
    /// By default images keep their size; the default recipe reduces larger ones to about 16,000 pixels.
    #[arg(long, value_name = "SIZE", help_heading = "Input")]
    pub(crate) size: Option<String>,
    /// Resizing of image files of another shape: squash, crop or shorter:PIXELS
    #[arg(
        long,
        value_name = "HOW",
        default_value = "squash",
        help_heading = "Input",
        hide_short_help = true
    )]
    pub(crate) resize: Resize,
    /// Channels to convert image files to: 1 (grey) or 3 (colour)
    #[arg(long, value_name = "N", help_heading = "Input", hide_short_help = true)]
    pub(crate) channels: Option<usize>,
    /// raw uses arrays as they are; otherwise values from 0 to 255 become 0 to 1, as for image files
    #[arg(long, value_name = "raw", help_heading = "Input", hide_short_help = true)]
    pub(crate) scale: Option<String>,
    /// Seed of weights, shuffling, split and augmentation
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Training", hide_short_help = true)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub(crate) struct Schedule {
    /// Source of the settings that are not given
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = value(recipes()), hide_short_help = true)]
    pub(crate) recipe: &'static Recipe,
    /// Passes over the training images [default: the recipe's, by the number of images]
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// Images in a step [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<usize>,
    /// Optimiser
    #[arg(long, value_name = "NAME", default_value = "adam", value_parser = Algorithm::NAMES, hide_short_help = true)]
    pub(crate) optimizer: String,
    /// Learning rate [default: the recipe's]
    #[arg(long, value_name = "RATE", visible_alias = "lr")]
    pub(crate) learning_rate: Option<f32>,
    /// Momentum of sgd
    #[arg(long, default_value_t = 0.9, hide_short_help = true)]
    pub(crate) momentum: f32,
    /// Weight decay of adamw
    #[arg(long, default_value_t = 0.01, hide_short_help = true)]
    pub(crate) weight_decay: f32,
    /// Learning-rate schedule [default: the recipe's]
    #[arg(long, value_name = "SCHEDULE", value_parser = value(RateChange::ALL), hide_short_help = true)]
    pub(crate) lr_schedule: Option<RateChange>,
    /// Epochs without improvement after which training stops; 0 never stops [default: the recipe's]
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub(crate) patience: Option<usize>,
    /// Column of history.csv that early stopping watches [default: the recipe's]
    #[arg(long, value_name = "COLUMN", hide_short_help = true)]
    pub(crate) monitor: Option<String>,
    /// Weight of each class: none, balanced, or one number per class (1,2.5) [default: the recipe's]
    #[arg(long, value_name = "WEIGHTS", hide_short_help = true)]
    pub(crate) class_weight: Option<ClassWeight>,
    /// Epoch whose weights become model.onnx
    #[arg(long = "keep", value_name = "EPOCH", value_parser = value(KEPT_EPOCHS), action = ArgAction::Set, default_value = "best", hide_short_help = true)]
    pub(crate) keep_last: bool,
    /// Visit the images in the same order in every epoch
    #[arg(long, hide_short_help = true)]
    pub(crate) no_shuffle: bool,
}

const KEPT_EPOCHS: [Named<bool>; 2] = [
    ("best", "The one with the lowest validation loss (training loss without validation)", false),
    ("last", "The last one", true),
];

#[derive(Debug, Args)]
#[command(next_help_heading = "Validation")]
pub(crate) struct Validation {
    /// Fraction of the images held out for validation [default: the recipe's, by the number of images]
    #[arg(long, value_name = "FRACTION")]
    pub(crate) validation_split: Option<f64>,
    /// Which images are held out
    #[arg(long, value_name = "HOW", default_value = "stratified", value_parser = value(Split::ALL), hide_short_help = true)]
    pub(crate) split: Split,
    /// Validate on these images instead of holding some out
    #[arg(long, value_name = "DATA")]
    pub(crate) validation_data: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Augmentation")]
pub(crate) struct Augmentation {
    /// Mirror images left to right at random
    #[arg(long, hide_short_help = true)]
    pub(crate) horizontal_flip: bool,
    /// Mirror images top to bottom at random
    #[arg(long, hide_short_help = true)]
    pub(crate) vertical_flip: bool,
    /// Shift images at random by up to this fraction of their size
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0, hide_short_help = true)]
    pub(crate) shift: f32,
    /// Rotate images at random by up to this angle
    #[arg(long, value_name = "DEGREES", default_value_t = 0.0, hide_short_help = true)]
    pub(crate) rotation: f32,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct TrainOutput {
    /// Folder for the model and its history
    #[arg(short, long, value_name = "FOLDER", default_value = "heatlens-train")]
    pub(crate) out: PathBuf,
    /// Explain these rows of the array after training, in OUT/explain
    #[arg(long, value_name = "RANGE", hide_short_help = true)]
    pub(crate) explain_rows: Option<String>,
    /// Print one JSON object at the end instead of sentences
    #[arg(long)]
    pub(crate) json: bool,
}
