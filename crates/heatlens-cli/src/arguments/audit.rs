//! Flags of `heatlens audit` and `heatlens merge`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::Resettable;

use super::shared::{Input, MapSettings, ModelFile, Part, Pixels};

const EXAMPLES: &str = "\
Examples:
  heatlens audit run/model.onnx test/ --out audit
  heatlens audit resnet50.onnx val/ --preset imagenet --method grad_cam,layer_cam --images 200
  heatlens audit run/model.onnx test/ --train-data photos/ --json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Audit {
    /// Image files, folders, .npy or .npz that the model was not trained on, with labels if there are any
    ///
    /// An .npz may hold `mask` where the objects are known.
    #[arg(index = 2, required = true, help_heading = Resettable::Reset)]
    pub(crate) data: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) pixels: Pixels,
    /// Images that the model was trained on, to find those that are among DATA
    #[arg(long, value_name = "DATA", help_heading = "Input")]
    pub(crate) train_data: Option<PathBuf>,
    /// Methods, separated by commas, or all [default: nine well-known ones]
    ///
    /// `heatlens methods` lists them. The controls are always added.
    #[arg(long, value_delimiter = ',', help_heading = "Method")]
    pub(crate) method: Vec<String>,
    #[command(flatten)]
    pub(crate) settings: MapSettings,
    #[command(flatten)]
    pub(crate) model: ModelFile,
    /// Number of images to measure the methods on, drawn at random [default: 64; with --full all]
    #[arg(long, value_name = "N", help_heading = "Measurement")]
    pub(crate) images: Option<usize>,
    /// Measure all methods on all images, with finer curves; may take days
    #[arg(long, help_heading = "Measurement")]
    pub(crate) full: bool,
    /// Seed of the choice of images, of noise, random weights and intervals
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Measurement", hide_short_help = true)]
    pub(crate) seed: u64,
    /// Folder for audit.json and report.html
    #[arg(short, long, value_name = "FOLDER", default_value = "heatlens-audit", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// Print audit.json instead of a table
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) part: Part,
}

const MERGE_EXAMPLES: &str = "\
Examples:
  heatlens explain model.onnx photos/ --shard 1/2 --out s1      on one machine
  heatlens explain model.onnx photos/ --shard 2/2 --out s2      on another
  heatlens merge s1 s2 --out all";

#[derive(Debug, Args)]
#[command(after_help = MERGE_EXAMPLES)]
pub(crate) struct Merge {
    /// Folders of all shards of one `explain` or `audit` run, in any order
    #[arg(required = true)]
    pub(crate) shards: Vec<PathBuf>,
    /// Folder for the joined results
    #[arg(short, long, value_name = "FOLDER", default_value = "heatlens-merge", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// Write into a folder that is not empty
    #[arg(long, help_heading = "Run")]
    pub(crate) force: bool,
}
