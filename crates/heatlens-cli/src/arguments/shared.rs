//! Flags that several commands take.

use std::path::PathBuf;

use clap::Args;
use clap::builder::Resettable;
use heatlens::data::{Layout, Preset, Shard};
use heatlens::model::{HeadKind, Placing};
use heatlens::nearest::Named;
use heatlens::render::{Colormap, PictureSize};
use heatlens::run::{PictureFormat, PictureStyle};

use super::values::{one_of, share, value};

/// Which part of the data to read, and how.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Input")]
pub(crate) struct Input {
    /// Rows of an array to use, as in Python: 0:2000, 2000:, 7
    #[arg(long, value_name = "RANGE")]
    pub(crate) rows: Option<String>,
    /// Axis order of an array; needed only if its sizes fit both
    #[arg(long, value_parser = one_of(Layout::ALL), hide_short_help = true)]
    pub(crate) layout: Option<String>,
}

/// A model file, and which of its inputs and outputs to use.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelFile {
    /// Model file (ONNX or Keras: .onnx, .keras, .h5)
    #[arg(index = 1, value_name = "MODEL", help_heading = Resettable::Reset)]
    pub(crate) path: PathBuf,
    /// Input that takes the image, if the model has several inputs
    #[arg(long = "input", value_name = "NAME", hide_short_help = true)]
    pub(crate) image: Option<String>,
    /// Output with the class scores [default: the first that can hold them]
    #[arg(long = "output", value_name = "NAME", hide_short_help = true)]
    pub(crate) scores: Option<String>,
    /// Meaning of the scores [default: found from the file]
    #[arg(long, value_name = "KIND", value_parser = one_of(HeadKind::ALL), hide_short_help = true)]
    pub(crate) head: Option<String>,
    /// Height and width of the images if the file leaves them open: 224x224, or one number for a square
    #[arg(long, value_name = "SIZE", hide_short_help = true)]
    pub(crate) input_size: Option<String>,
    /// Array for a further input, the same for every image; repeat the flag for each input
    #[arg(long, value_name = "NAME=FILE.npy", hide_short_help = true)]
    pub(crate) feed: Vec<String>,
    /// Reference for an embedding: an image, or an .npy file with one embedding
    #[arg(long, value_name = "IMAGE|FILE.npy", hide_short_help = true)]
    pub(crate) reference: Option<PathBuf>,
    /// Pixels of a segmentation, or side of a detected box, to explain [default: predicted]
    ///
    /// For a segmentation: predicted (all pixels that are assigned to the class), at:ROW,COLUMN (one pixel of the model's
    /// input) or a mask picture. For a detection: left, top, right or bottom explains the position of that side of the box
    /// instead of its class.
    #[arg(long, value_name = "WHERE", help_heading = "Target", display_order = 800, hide_short_help = true)]
    pub(crate) region: Option<String>,
}

/// Class names and image preprocessing; overrides what the model file declares.
#[derive(Debug, Args)]
#[command(next_help_heading = "Input")]
pub(crate) struct Pixels {
    /// File with the class names, in the order of the model's outputs
    ///
    /// One name a line, CSV with numbers and names, or JSON such as imagenet_class_index.json or config.json.
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Image preprocessing by its common name; overrides what the model file declares
    ///
    /// --resize, --scale, --mean and --std override parts of it.
    #[arg(long, value_name = "NAME", value_parser = one_of(Preset::ALL))]
    pub(crate) preset: Option<String>,
    /// Resizing of images of another shape: squash, crop or shorter:PIXELS
    ///
    /// squash changes the aspect ratio. crop takes the largest centred part that fits. shorter:256 resizes the shorter side to
    /// 256 pixels and crops the centre, as torchvision does.
    #[arg(long, value_name = "HOW", hide_short_help = true)]
    pub(crate) resize: Option<String>,
    /// Size of the crop after --resize shorter:PIXELS; must be the size of the model's input
    #[arg(long, value_name = "SIZE", requires = "resize", hide_short_help = true)]
    pub(crate) crop: Option<String>,
    /// Factor for pixels from 0 to 1, such as 255, or raw
    ///
    /// raw passes arrays on unchanged, and image files as 0 to 255.
    #[arg(long, value_name = "FACTOR", hide_short_help = true)]
    pub(crate) scale: Option<String>,
    /// Subtracted after scaling: one number, or one per channel
    #[arg(long, value_delimiter = ',', hide_short_help = true)]
    pub(crate) mean: Vec<f32>,
    /// Divisor after mean subtraction: one number, or one per channel
    #[arg(long, value_delimiter = ',', hide_short_help = true)]
    pub(crate) std: Vec<f32>,
}

/// Settings of the methods.
#[derive(Debug, Args)]
#[command(next_help_heading = "Method")]
pub(crate) struct MapSettings {
    /// Placement of a layer's map on the image
    #[arg(long, value_name = "HOW", default_value = "receptive-field", value_parser = one_of(Placing::ALL), hide_short_help = true)]
    pub(crate) placement: String,
    /// Set a parameter of a method; `heatlens methods` lists them
    ///
    /// NAME=VALUE sets it for every method that has it, METHOD.NAME=VALUE for one. Several are separated by commas.
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',', hide_short_help = true)]
    pub(crate) set: Vec<String>,
}

/// Reuse of the output folder.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunFolder {
    /// Continue an interrupted run
    #[arg(long)]
    pub(crate) resume: bool,
    /// Write into a folder that is not empty, replacing earlier results
    #[arg(long, conflicts_with = "resume")]
    pub(crate) force: bool,
}

/// Part of the run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct Part {
    /// Process one part of a large data set, such as 1/3; `heatlens merge` joins the parts
    #[arg(long, value_name = "I/N", hide_short_help = true)]
    pub(crate) shard: Option<Shard>,
    #[command(flatten)]
    pub(crate) folder: RunFolder,
}

/// Style of pictures.
#[derive(Debug, Args)]
#[command(next_help_heading = "Pictures")]
pub(crate) struct Pictures {
    /// Size of the pictures: auto, original, or the longer side in pixels
    ///
    /// auto is the size of the image, enlarged by a whole number below 320 pixels and reduced above 4096; original is the size
    /// of the image, whatever it is.
    #[arg(long, value_name = "SIZE", default_value = "auto", hide_short_help = true)]
    pub(crate) picture_size: PictureSize,
    /// Colours of heat maps
    #[arg(long, value_name = "NAME", value_parser = value(Colormap::HEAT), default_value = Colormap::HEAT[0].0, hide_short_help = true)]
    pub(crate) colormap: Colormap,
    /// Opacity of strong heat in an overlay, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.75, value_parser = share, hide_short_help = true)]
    pub(crate) opacity: f32,
    /// File format of the pictures; heat maps are always PNG
    #[arg(long, value_name = "FORMAT", value_parser = value(FORMATS), default_value = "auto", hide_short_help = true)]
    pub(crate) picture_format: PictureFormat,
    /// Leave out the bar below heat maps and overlays, so that they have exactly the size of the image
    #[arg(long, hide_short_help = true)]
    pub(crate) no_color_bar: bool,
}

impl Pictures {
    pub(crate) fn style(&self) -> PictureStyle {
        PictureStyle {
            size: self.picture_size,
            colormap: self.colormap,
            opacity: self.opacity,
            color_bar: !self.no_color_bar,
            format: self.picture_format,
        }
    }
}

const FORMATS: [Named<PictureFormat>; 3] = [
    ("auto", "JPEG for the pictures of a JPEG, PNG for all others", PictureFormat::Auto),
    ("png", "PNG for all", PictureFormat::Png),
    ("jpeg", "JPEG for all but heat maps", PictureFormat::Jpeg),
];
