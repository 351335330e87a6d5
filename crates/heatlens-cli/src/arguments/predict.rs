//! Flags of `heatlens predict`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::Resettable;

use super::shared::{Input, ModelFile, Pixels};
use super::values::at_least_one;

const EXAMPLES: &str = "\
Examples:
  heatlens predict resnet50.onnx photos/ --preset imagenet --labels imagenet_class_index.json
  heatlens predict run/model.onnx test/ --out table.csv
  heatlens predict model.keras X.npy --rows :100 --json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Predict {
    /// Image files, folders, .npy or .npz
    #[arg(index = 2, required = true, help_heading = Resettable::Reset)]
    pub(crate) inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) pixels: Pixels,
    #[command(flatten)]
    pub(crate) model: ModelFile,
    /// Write the table, with the probabilities of all classes, to this file instead of the terminal
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,
    /// Number of classes per image, the most likely first [default: all; 5 of more than 10 on the terminal]
    #[arg(long, value_name = "K", value_parser = at_least_one, help_heading = "Output")]
    pub(crate) top: Option<usize>,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}
