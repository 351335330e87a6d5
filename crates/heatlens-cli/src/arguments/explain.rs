//! Flags of `heatlens explain`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::Resettable;
use heatlens::explain::{Compat, Fusion, Score};
use heatlens::localise::Components;
use heatlens::run::OUTPUTS;

use super::shared::{Input, MapSettings, ModelFile, Part, Pictures, Pixels};
use super::values::one_of;

const EXAMPLES: &str = "\
Examples:
  heatlens explain run/model.onnx photos/ --out pictures --report
  heatlens explain resnet50.onnx cat.jpg --preset imagenet --labels imagenet_class_index.json
  heatlens explain model.keras X.npy --rows :20 --method grad_cam,layer_cam --class runner-up";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Explain {
    /// Image files, folders, .npy or .npz
    #[arg(index = 2, required = true, help_heading = Resettable::Reset)]
    pub(crate) inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) pixels: Pixels,
    #[command(flatten)]
    pub(crate) how: How,
    #[command(flatten)]
    pub(crate) model: ModelFile,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: ExplainOutput,
    #[command(flatten)]
    pub(crate) pictures: Pictures,
    #[command(flatten)]
    pub(crate) regions: Regions,
    #[command(flatten)]
    pub(crate) part: Part,
}

/// Computation of maps.
#[derive(Debug, Args)]
#[command(next_help_heading = "Method")]
pub(crate) struct How {
    /// Methods, separated by commas, or all; `heatlens methods` lists them
    ///
    /// The default is grad_cam, guided_backprop and guided_grad_cam, or what replaces them in networks they do not apply to.
    #[arg(long, value_delimiter = ',')]
    pub(crate) method: Vec<String>,
    /// Layers, separated by commas, or all; `heatlens inspect` lists them
    ///
    /// The default is the layer that `inspect` marks. all draws a strip through the network.
    #[arg(long, value_delimiter = ',')]
    pub(crate) layer: Vec<String>,
    /// Combine the maps of several layers into one
    #[arg(long, value_name = "HOW", value_parser = one_of(Fusion::ALL), hide_short_help = true)]
    pub(crate) fuse: Option<String>,
    /// Average the maps over mirrored and scaled copies of the image (six times the work)
    #[arg(long, hide_short_help = true)]
    pub(crate) aug_smooth: bool,
    /// Use the first principal component of the channels instead of their sum, which reduces noise
    #[arg(long, hide_short_help = true)]
    pub(crate) eigen_smooth: bool,
    /// Finish layer maps as another library does
    #[arg(long, value_name = "LIBRARY", value_parser = one_of(Compat::ALL), hide_short_help = true)]
    pub(crate) compat: Option<String>,
    #[command(flatten)]
    pub(crate) settings: MapSettings,
    /// Seed of masks, noise and samples
    #[arg(long, value_name = "N", default_value_t = 0, hide_short_help = true)]
    pub(crate) seed: u64,
}

/// Target of the explanation.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct Target {
    /// Class: predicted, runner-up, all, above:P, a name or a number
    ///
    /// above:0.5 explains every class whose probability exceeds 0.5, for models with several labels.
    #[arg(long, default_value = "predicted", allow_hyphen_values = true)]
    pub(crate) class: String,
    /// Explain the difference to this class: why the one and not the other
    #[arg(long, value_name = "CLASS", allow_hyphen_values = true)]
    pub(crate) against: Option<String>,
    /// Detection to explain: best, all, a rank from 1 (the most confident), or a class
    ///
    /// A class selects its most confident detection; all explains up to 20 per image.
    #[arg(long, value_name = "best|all|RANK|CLASS", allow_hyphen_values = true, hide_short_help = true)]
    pub(crate) detection: Option<String>,
    /// Explain what lowers the score instead of what raises it
    #[arg(long, hide_short_help = true)]
    pub(crate) counterfactual: bool,
    /// Which value of the class to explain
    #[arg(long, value_parser = one_of(Score::ALL), default_value = "logit", hide_short_help = true)]
    pub(crate) score: String,
}

/// Output of the run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ExplainOutput {
    /// Folder for the pictures
    #[arg(short, long, value_name = "FOLDER", default_value = "heatlens-explain")]
    pub(crate) out: PathBuf,
    /// Outputs, separated by commas
    #[arg(long, value_name = "WHAT", value_parser = one_of(OUTPUTS), value_delimiter = ',', default_value = "png")]
    pub(crate) save: Vec<String>,
    /// Also write report.html: verdict, images and maps on one page
    #[arg(long)]
    pub(crate) report: bool,
}

/// Conversion of hot regions to boxes and masks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Boxes and masks")]
pub(crate) struct Regions {
    /// Threshold of hot pixels: a fraction of the largest value, otsu, or a quantile such as q0.9
    #[arg(long, value_name = "VALUE", default_value = "0.2", hide_short_help = true)]
    pub(crate) threshold: String,
    /// Which connected regions become boxes and masks
    #[arg(long, value_name = "WHICH", default_value = "largest", value_parser = one_of(Components::ALL), hide_short_help = true)]
    pub(crate) components: String,
    /// True objects to compare boxes and masks with; writes iou.csv
    ///
    /// A COCO file, or a folder of mask pictures named after the images.
    #[arg(long, value_name = "COCO.json|FOLDER", hide_short_help = true)]
    pub(crate) truth: Option<PathBuf>,
}
