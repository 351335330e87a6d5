//! Flags of the commands about a model file alone: `heatlens inspect`, `heatlens convert` and `heatlens bench`.

use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{ArgAction, Args};
use heatlens::explain::Score;
use heatlens::model::Placing;
use heatlens::nearest::Named;

use super::shared::{ModelFile, Pixels};
use super::values::{at_least_one, one_of, value};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  heatlens inspect resnet50.onnx\n  heatlens inspect model.keras --all --json"
)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) model: ModelFile,
    /// List every layer, not only the last of each block and stage
    #[arg(long, help_heading = "Output")]
    pub(crate) all: bool,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

const CONVERT_EXAMPLES: &str = "\
Examples:
  heatlens convert model.keras model.onnx
  heatlens convert resnet50.onnx out.onnx --with-explanation grad_cam --explanation-size image";

#[derive(Debug, Args)]
#[command(after_help = CONVERT_EXAMPLES)]
pub(crate) struct Convert {
    /// ONNX file to write
    #[arg(index = 2, required_unless_present = "out_flag", help_heading = Resettable::Reset)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) pixels: Pixels,
    #[command(flatten)]
    pub(crate) model: ModelFile,
    /// Compute the map of this method inside the file, as a second output named explanation
    #[arg(long, value_name = "METHOD", help_heading = "Method")]
    pub(crate) with_explanation: Option<String>,
    /// Layer of the map [default: the last one with places]
    ///
    /// `heatlens inspect` lists the layers.
    #[arg(long, requires = "with_explanation", help_heading = "Method")]
    pub(crate) layer: Option<String>,
    /// Placement of a layer's map on the image
    #[arg(
        long,
        value_name = "HOW",
        value_parser = value(Placing::ALL),
        default_value = "receptive-field",
        requires = "with_explanation",
        help_heading = "Method",
        hide_short_help = true
    )]
    pub(crate) placement: Placing,
    /// Class to explain: predicted, a name or a number
    #[arg(
        long,
        default_value = "predicted",
        allow_hyphen_values = true,
        requires = "with_explanation",
        help_heading = "Target"
    )]
    pub(crate) class: String,
    /// Which value of the class to explain
    #[arg(
        long,
        value_parser = one_of(Score::ALL),
        default_value = "logit",
        requires = "with_explanation",
        help_heading = "Target",
        hide_short_help = true
    )]
    pub(crate) score: String,
    /// The ONNX file to write, as a flag
    #[arg(short, long = "out", value_name = "OUT", conflicts_with = "out", help_heading = "Output")]
    pub(crate) out_flag: Option<PathBuf>,
    /// Size of the map
    #[arg(
        long = "explanation-size",
        value_name = "SIZE",
        value_parser = value(MAP_SIZES),
        action = ArgAction::Set,
        default_value = "map",
        requires = "with_explanation",
        help_heading = "Output"
    )]
    pub(crate) image_size: bool,
    /// Replace OUT if it exists
    #[arg(long, help_heading = "Run")]
    pub(crate) force: bool,
}

const MAP_SIZES: [Named<bool>; 2] = [
    ("map", "As many rows and columns as the layer", false),
    ("image", "Laid over the image by bilinear interpolation", true),
];

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  heatlens bench resnet50.onnx\n  heatlens bench model.keras --method grad_cam,score_cam --batch-size 8"
)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) model: ModelFile,
    /// Methods to time, separated by commas, or all [default: the heat map of `explain`]
    ///
    /// `heatlens methods` lists them.
    #[arg(long, value_delimiter = ',', help_heading = "Method")]
    pub(crate) method: Vec<String>,
    /// Images at a time: 1 measures latency, more measure throughput
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one, help_heading = "Measurement")]
    pub(crate) batch_size: usize,
    /// Timed runs, after one to warm up
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one, help_heading = "Measurement")]
    pub(crate) repeat: usize,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}
