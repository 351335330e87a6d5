//! The command line: what every flag is called and what it defaults to.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand};
use heatlens::data::{Resize, Shard, Split};
use heatlens::model::Placing;
use heatlens::render::{Colormap, PictureSize};
use heatlens::run::{PictureFormat, PictureStyle};
use heatlens::train::arch::Architecture;
use heatlens::train::class_weight::ClassWeight;
use heatlens::train::optimizer::Algorithm;
use heatlens::train::recipe::{RateChange, Recipe};

/// Shows where an image classifier looks, and whether the picture can be believed.
#[derive(Debug, Parser)]
#[command(name = "heatlens", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Threads to use; all processors if not given. The results are the same for any number
    #[arg(long, global = true)]
    pub(crate) threads: Option<usize>,
    /// Memory that pictures may take while they are read and drawn, such as 4GiB or 500MiB; half of what is available if
    /// not given
    #[arg(long, global = true, value_name = "SIZE", value_parser = bytes)]
    pub(crate) memory: Option<u64>,
    /// Instruction set to compute with: avx512, avx2 or portable; the best of the processor if not given, or what
    /// HEATLENS_ISA says. Results differ in the last bits between them, and only between them
    #[arg(long, global = true)]
    pub(crate) isa: Option<String>,
    /// Print results and errors only: no notes, no progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Reads a number of bytes.
fn bytes(text: &str) -> Result<u64, String> {
    let units = [("GiB", 30), ("GB", 30), ("G", 30), ("MiB", 20), ("MB", 20), ("M", 20)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .ok_or("expected a number and a unit, such as 4GiB or 500MiB")?;
    let number: u64 =
        number.trim().parse().map_err(|_| "expected a whole number before the unit".to_owned())?;
    number
        .checked_shl(shift)
        .filter(|b| *b >= 1 << 20 && b >> shift == number)
        .ok_or("expected 1MiB or more".to_owned())
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a small data set with a known answer, train a model on it and show where it looks
    Demo(Demo),
    /// Train a classifier on images in class folders or arrays
    Train(Box<Train>),
    /// Say which class each image belongs to
    Predict(Predict),
    /// Show where a model looks, for every image
    Explain(Box<Explain>),
    /// Say whether a model is worth explaining, and which method is faithful to it
    Audit(Box<Audit>),
    /// Put the shards of a run together, with the same result as one run
    Merge(Merge),
    /// Show what a model file holds and what can be looked at
    Inspect(Inspect),
    /// Write a model as an ONNX file, with its explanation as a second output if wanted
    Convert(Convert),
    /// List the explanation methods
    Methods(Methods),
    /// Say how fast a model and its explanations run on this machine, and where the time goes
    Bench(Bench),
}

impl Command {
    /// Whether Ctrl-C first lets the command put down what it has; the others leave nothing, and end at once.
    pub(crate) fn keeps_what_is_finished(&self) -> bool {
        !matches!(self, Self::Inspect(_) | Self::Methods(_) | Self::Bench(_))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Folder for the results
    #[arg(short, long, default_value = "heatlens-demo")]
    pub(crate) out: PathBuf,
    /// Seed of the data set, the weights and the training
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Which data to read, and how.
#[derive(Debug, Default, Args)]
pub(crate) struct Input {
    /// Rows of an array to use, as in Python: 0:2000, 2000:, 7
    #[arg(long, value_name = "RANGE")]
    pub(crate) rows: Option<String>,
    /// Order of an array's axes, where it cannot be told from the sizes
    #[arg(long, value_parser = one_of(LAYOUTS))]
    pub(crate) layout: Option<String>,
}

const LAYOUTS: &[(&str, &str)] = &[
    ("nhwc", "Images, rows, columns, channels (Keras)"),
    ("nchw", "Images, channels, rows, columns (PyTorch)"),
];

/// Which input and output of a model to use, where it has several.
#[derive(Debug, Args)]
pub(crate) struct Ports {
    /// The input that takes the image
    #[arg(long = "input", value_name = "NAME")]
    pub(crate) image: Option<String>,
    /// The output that holds the class scores; the first that can if not given
    #[arg(long = "output", value_name = "NAME")]
    pub(crate) scores: Option<String>,
    /// What the scores mean: classes (one excludes the others), multi-label, regression (quantities), similarity (an
    /// embedding, held against --reference), segmentation (scores at every pixel) or detection (boxes); found out from the
    /// file if not given
    #[arg(long, value_name = "KIND")]
    pub(crate) head: Option<String>,
    /// Height and width of the images (224x224, or one number for a square), where the file leaves them open
    #[arg(long, value_name = "SIZE")]
    pub(crate) input_size: Option<String>,
    /// What goes into a further input, for every image: NAME=FILE.npy; give it once for each input
    #[arg(long, value_name = "NAME=FILE.npy")]
    pub(crate) feed: Vec<String>,
    /// What an embedding is held against: an image, or an .npy file with one embedding
    #[arg(long, value_name = "IMAGE|FILE.npy")]
    pub(crate) reference: Option<PathBuf>,
    /// Which pixels of a segmentation count for a class: predicted (those that are taken for it), at:ROW,COLUMN (one pixel
    /// of the model's input) or a mask picture [default: predicted]. Of a detection: left, top, right or bottom explain
    /// where that side of the box lies, not its class
    #[arg(long, value_name = "WHERE")]
    pub(crate) region: Option<String>,
}

/// How image files become the model's input, where its file does not say or says it wrong.
#[derive(Debug, Args)]
pub(crate) struct Pixels {
    /// Names of the classes in the order of the model's outputs: one a line, CSV of numbers and names, or JSON such as
    /// imagenet_class_index.json or config.json
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// How image files of another shape are brought to the model's: squash, crop (the middle, as large as fits), or
    /// shorter:256 (the shorter side to so many pixels, then the middle, as torchvision does)
    #[arg(long)]
    pub(crate) resize: Option<String>,
    /// Size of the middle, beside --resize shorter:256; it must be the model's
    #[arg(long, value_name = "SIZE", requires = "resize")]
    pub(crate) crop: Option<String>,
    /// How pixels are prepared, by a common name: imagenet (mean and standard deviation), torchvision (the same, and the
    /// middle of the image), tf (-1 to 1), caffe (BGR less mean), unit (0 to 1) or raw (0 to 255); the flags below
    /// override its parts
    #[arg(long)]
    pub(crate) preset: Option<String>,
    /// Factor on pixels from 0 to 1, such as 255; raw takes arrays as they are, and image files as 0 to 255
    #[arg(long)]
    pub(crate) scale: Option<String>,
    /// Subtracted after scaling: one number, or one for each channel
    #[arg(long, value_delimiter = ',')]
    pub(crate) mean: Vec<f32>,
    /// Divided by at last: one number, or one for each channel
    #[arg(long, value_delimiter = ',')]
    pub(crate) std: Vec<f32>,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// A folder with one sub-folder for each class (or with train/ and val/, each of which has them), an .npz with X
    /// and y, or X.npy with y.npy beside it
    pub(crate) data: PathBuf,
    /// Folder for the model and its history
    #[arg(short, long, default_value = "heatlens-train")]
    pub(crate) out: PathBuf,
    /// Where every setting below comes from that is not given: default, which fits itself to the number of images, or
    /// keras-two-class (gap-cnn, 1e-4, 10 epochs, batches of 64, 5 % held out, patience 5 on the training loss)
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) recipe: &'static Recipe,
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
    /// Explain these rows of the array when training is done (pictures go to OUT/explain)
    #[arg(long, value_name = "RANGE")]
    pub(crate) explain_rows: Option<String>,
    /// Go on with a run that was stopped
    #[arg(long)]
    pub(crate) resume: bool,
    /// Write into a folder that is not empty, replacing what a run there left
    #[arg(long, conflicts_with = "resume")]
    pub(crate) force: bool,
    /// Print one JSON object at the end instead of sentences
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Network {
    /// The network: gap-cnn, gap-cnn-bn or gap-cnn-deep [default: the recipe's]
    #[arg(long)]
    pub(crate) arch: Option<&'static Architecture>,
    /// Bring image files to this size (H×W as 95x95, or one number for a square) [default: their own, scaled down to
    /// some 16,000 pixels by the default recipe]
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<String>,
    /// How image files of another shape are brought to the size
    #[arg(long, default_value = "squash")]
    pub(crate) resize: Resize,
    /// Convert image files to so many channels: 1 (grey) or 3 (colour)
    #[arg(long)]
    pub(crate) channels: Option<usize>,
    /// raw takes arrays as they are; otherwise integers and floats from 0 to 255 become 0 to 1, as image files do
    #[arg(long)]
    pub(crate) scale: Option<String>,
    /// Seed of weights, shuffling, split and augmentation
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Schedule {
    /// Passes over the training images [default: the recipe's, by the number of images]
    #[arg(long)]
    pub(crate) epochs: Option<usize>,
    /// Images in a step [default: the recipe's]
    #[arg(long)]
    pub(crate) batch_size: Option<usize>,
    /// Rule by which gradients move the weights
    #[arg(long, default_value = "adam", value_parser = Algorithm::NAMES)]
    pub(crate) optimizer: String,
    /// Step size [default: the recipe's]
    #[arg(long, visible_alias = "lr")]
    pub(crate) learning_rate: Option<f32>,
    /// Momentum of sgd
    #[arg(long, default_value_t = 0.9)]
    pub(crate) momentum: f32,
    /// Weight decay of adamw
    #[arg(long, default_value_t = 0.01)]
    pub(crate) weight_decay: f32,
    /// How the step size changes: constant, cosine or reduce-on-plateau [default: the recipe's]
    #[arg(long)]
    pub(crate) lr_schedule: Option<RateChange>,
    /// Stop when the monitored number has not improved for so many epochs; 0 never stops [default: the recipe's]
    #[arg(long)]
    pub(crate) patience: Option<usize>,
    /// The number that early stopping watches: a column of history.csv [default: the recipe's]
    #[arg(long)]
    pub(crate) monitor: Option<String>,
    /// How much each class counts: none, balanced, or one number for each class (1,2.5) [default: the recipe's]
    #[arg(long)]
    pub(crate) class_weight: Option<ClassWeight>,
    /// Which epoch's weights become model.onnx
    #[arg(long = "keep", value_name = "KEEP", value_parser = words(KEPT_EPOCHS), action = ArgAction::Set, default_value = "best")]
    pub(crate) keep_last: bool,
    /// Take the images in the same order in every epoch
    #[arg(long)]
    pub(crate) no_shuffle: bool,
}

const KEPT_EPOCHS: &[(&str, &str, bool)] = &[
    ("best", "The epoch with the lowest validation loss (training loss without validation)", false),
    ("last", "The last one", true),
];

#[derive(Debug, Args)]
pub(crate) struct Validation {
    /// Share of the images held out to judge the model [default: the recipe's, by the number of images]
    #[arg(long)]
    pub(crate) validation_split: Option<f64>,
    /// Which images are held out: the same share of every class by chance, or the last ones
    #[arg(long, default_value = "stratified")]
    pub(crate) split: Split,
    /// Judge the model on these images instead of holding some out
    #[arg(long, value_name = "DATA")]
    pub(crate) validation_data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Augmentation {
    /// Mirror images left to right by chance
    #[arg(long)]
    pub(crate) horizontal_flip: bool,
    /// Mirror images top to bottom by chance
    #[arg(long)]
    pub(crate) vertical_flip: bool,
    /// Shift images by up to this share of their size
    #[arg(long, default_value_t = 0.0)]
    pub(crate) shift: f32,
    /// Turn images by up to so many degrees
    #[arg(long, default_value_t = 0.0)]
    pub(crate) rotation: f32,
}

#[derive(Debug, Args)]
pub(crate) struct Predict {
    /// A model file (ONNX or Keras: .onnx, .keras, .h5)
    pub(crate) model: PathBuf,
    /// Image files, folders, .npy or .npz
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) ports: Ports,
    #[command(flatten)]
    pub(crate) pixels: Pixels,
    /// Write the table here instead of to the terminal, with the probabilities of all classes
    #[arg(short, long)]
    pub(crate) out: Option<PathBuf>,
    /// Name so many classes for each image, the likeliest first [default: all; 5 on the terminal if there are more than 10]
    #[arg(long, value_name = "K", value_parser = at_least_one)]
    pub(crate) top: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// How pictures look.
#[derive(Debug, Args)]
pub(crate) struct Pictures {
    /// Size of the pictures: auto (the image's own; below 320 pixels enlarged by a whole number, above 4096 reduced),
    /// original (the image's own, whatever it is), or the longer side in pixels
    #[arg(long, value_name = "SIZE", default_value = "auto")]
    pub(crate) picture_size: PictureSize,
    /// Colours of heat
    #[arg(long, value_parser = words(&Colormap::HEAT), default_value = Colormap::HEAT[0].0)]
    pub(crate) colormap: Colormap,
    /// How much of the image strong heat covers in an overlay, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.75, value_parser = share)]
    pub(crate) opacity: f32,
    /// How pictures are stored; heat maps are always PNG
    #[arg(long, value_parser = words(FORMATS), default_value = "auto")]
    pub(crate) picture_format: PictureFormat,
    /// Leave out the bar under heat maps and overlays, so that they have exactly the image's size
    #[arg(long)]
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

/// A number from 0 to 1.
fn share(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    number.ok_or_else(|| format!("found {text:?}, expected a number from 0 to 1"))
}

const FORMATS: &[(&str, &str, PictureFormat)] = &[
    ("auto", "JPEG for the pictures of a JPEG, PNG for all others", PictureFormat::Auto),
    ("png", "PNG for all", PictureFormat::Png),
    ("jpeg", "JPEG for all but heat maps", PictureFormat::Jpeg),
];

/// Reads one of these words, each beside what `--help` says of it.
fn one_of(words: &[(&'static str, &'static str)]) -> PossibleValuesParser {
    words.iter().map(|(word, about)| PossibleValue::new(*word).help(*about)).into()
}

/// Reads what one of these words stands for.
fn words<T: Clone + Send + Sync + 'static>(
    table: &'static [(&'static str, &'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let words: Vec<_> = table.iter().map(|(word, about, _)| (*word, *about)).collect();
    one_of(&words).try_map(|given| {
        let found = table.iter().find(|(word, ..)| *word == given);
        found.map(|(.., value)| value.clone()).ok_or("not one of the words")
    })
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A model file (ONNX or Keras: .onnx, .keras, .h5)
    pub(crate) model: PathBuf,
    /// Image files, folders, .npy or .npz
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Folder for the pictures
    #[arg(short, long, default_value = "heatlens-explain")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) ports: Ports,
    #[command(flatten)]
    pub(crate) pixels: Pixels,
    /// Methods, separated by commas, or all (see `heatlens methods`). If not given: grad_cam, guided_backprop and
    /// guided_grad_cam, or what takes their place where they do not apply
    #[arg(long, value_delimiter = ',')]
    pub(crate) method: Vec<String>,
    /// Layers to look at, separated by commas (see `heatlens inspect`), or all, a strip through the network; the one
    /// `inspect` marks if not given
    #[arg(long, value_delimiter = ',')]
    pub(crate) layer: Vec<String>,
    /// Make one map of several layers': mean, max, tanh-max or product
    #[arg(long, value_name = "HOW")]
    pub(crate) fuse: Option<String>,
    /// Average maps over mirrored and scaled copies of the image (six times the work)
    #[arg(long)]
    pub(crate) aug_smooth: bool,
    /// Take the channels' first principal component instead of their sum, which takes out noise
    #[arg(long)]
    pub(crate) eigen_smooth: bool,
    /// Finish layer maps as another library does: pytorch-grad-cam, torchcam or captum
    #[arg(long, value_name = "LIBRARY")]
    pub(crate) compat: Option<String>,
    /// How maps of a layer's size are laid over the image: receptive-field puts each cell where it looks, resize spreads
    /// them evenly as other libraries do
    #[arg(long, value_name = "HOW", default_value = "receptive-field")]
    pub(crate) placement: String,
    /// The class to explain: predicted, runner-up, all, a name or a number
    #[arg(long, default_value = "predicted", allow_hyphen_values = true)]
    pub(crate) class: String,
    /// The detection to explain, of a detector: best, a rank from 1 (the surest), or a class, whose surest is taken
    #[arg(long, value_name = "best|RANK|CLASS")]
    pub(crate) detection: Option<String>,
    /// Explain the difference to this class: why that one and not this one
    #[arg(long, value_name = "CLASS")]
    pub(crate) against: Option<String>,
    /// Turn the question round: what would lower the score
    #[arg(long)]
    pub(crate) counterfactual: bool,
    /// Set a method's parameter: NAME=VALUE for all that have it, or METHOD.NAME=VALUE (see `heatlens methods`)
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    pub(crate) set: Vec<String>,
    /// Seed of masks, noise and samples
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Explain the value before the sigmoid or softmax, or the probability after it
    #[arg(long, value_parser = one_of(SCORES), default_value = "logit")]
    pub(crate) score: String,
    /// What to write, separated by commas
    #[arg(long, value_parser = one_of(SAVED), value_delimiter = ',', default_value = "png")]
    pub(crate) save: Vec<String>,
    #[command(flatten)]
    pub(crate) pictures: Pictures,
    /// What counts as hot in boxes and masks: a fraction of the largest value, otsu, or a quantile such as q0.9
    #[arg(long, value_name = "VALUE", default_value = "0.2")]
    pub(crate) threshold: String,
    /// Which connected parts become boxes and masks: largest or all
    #[arg(long, default_value = "largest")]
    pub(crate) components: String,
    /// True objects to compare boxes and masks with, in iou.csv: a COCO file, or a folder of mask pictures named after
    /// the images
    #[arg(long, value_name = "COCO.json|FOLDER")]
    pub(crate) truth: Option<PathBuf>,
    /// Write report.html too: verdict, images, maps and what the model looks at, on one page that can be sent
    #[arg(long)]
    pub(crate) report: bool,
    /// Do a part of a large folder: 1/3, 2/3 and 3/3 together are the whole, put together by `heatlens merge`
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Go on with a run that was stopped
    #[arg(long)]
    pub(crate) resume: bool,
    /// Write into a folder that is not empty
    #[arg(long, conflicts_with = "resume")]
    pub(crate) force: bool,
}

const SCORES: &[(&str, &str)] =
    &[("logit", "The value before sigmoid or softmax"), ("probability", "The value after it")];

const SAVED: &[(&str, &str)] = &[
    ("png", "Pictures and the contact sheet"),
    ("npz", "Raw maps as maps.npz"),
    ("npz16", "The same as 16-bit floats, half the size: X.astype(float32) times X.scale are the maps"),
    ("heat", "The heat of every pixel of the model's input, 0 to 1, as heat.npz"),
    ("tensors", "conv_output, conv_grad, input_grad, weights and cam as tensors.npz, and channels.csv"),
    ("boxes", "Boxes and masks around the hot regions, in annotations_<method>.json (COCO)"),
    ("masks", "The hot regions as mask pictures"),
];

#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// A model file (ONNX or Keras: .onnx, .keras, .h5)
    pub(crate) model: PathBuf,
    /// Image files, folders, .npy or .npz that the model was not trained on, with labels if there are any (and with
    /// `mask` in an .npz where the objects are known)
    #[arg(required = true)]
    pub(crate) data: Vec<PathBuf>,
    /// Folder for audit.json and report.html
    #[arg(short, long, default_value = "heatlens-audit")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) ports: Ports,
    #[command(flatten)]
    pub(crate) pixels: Pixels,
    /// Methods, separated by commas, or all; nine well-known ones if not given. The controls are always added
    #[arg(long, value_delimiter = ',')]
    pub(crate) method: Vec<String>,
    /// Images that the methods are measured on, drawn at random [default: 64; with --full all]
    #[arg(long)]
    pub(crate) images: Option<usize>,
    /// Measure all methods on all images, with finer curves: may take days
    #[arg(long)]
    pub(crate) full: bool,
    /// The images that the model was trained on: are any of them among DATA?
    #[arg(long, value_name = "DATA")]
    pub(crate) train_data: Option<PathBuf>,
    /// How maps of a layer's size are laid over the image: receptive-field puts each cell where it looks, resize spreads
    /// them evenly as other libraries do
    #[arg(long, value_name = "HOW", default_value = "receptive-field")]
    pub(crate) placement: String,
    /// Set a method's parameter: NAME=VALUE for all that have it, or METHOD.NAME=VALUE (see `heatlens methods`)
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    pub(crate) set: Vec<String>,
    /// Seed of the choice of images, of noise, random weights and intervals
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Do a part of a large folder: 1/3, 2/3 and 3/3 together are the whole, put together by `heatlens merge`
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Go on with an audit that was stopped
    #[arg(long)]
    pub(crate) resume: bool,
    /// Write into a folder that is not empty, replacing what an audit there left
    #[arg(long, conflicts_with = "resume")]
    pub(crate) force: bool,
    /// Print audit.json instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// The folders of all shards of one `explain` or `audit`, in any order
    #[arg(required = true)]
    pub(crate) shards: Vec<PathBuf>,
    /// Folder for the whole
    #[arg(short, long, default_value = "heatlens-merge")]
    pub(crate) out: PathBuf,
    /// Write into a folder that is not empty
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A model file (ONNX or Keras: .onnx, .keras, .h5)
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) ports: Ports,
    /// List every layer, not only where blocks and stages end
    #[arg(long)]
    pub(crate) all: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// A model file (ONNX or Keras: .onnx, .keras, .h5)
    pub(crate) model: PathBuf,
    /// The ONNX file to write
    #[arg(required_unless_present = "out_flag")]
    pub(crate) out: Option<PathBuf>,
    /// The same, as other commands take it
    #[arg(short, long = "out", value_name = "OUT", conflicts_with = "out")]
    pub(crate) out_flag: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) ports: Ports,
    #[command(flatten)]
    pub(crate) pixels: Pixels,
    /// Compute this method's map inside the file, as a second output called explanation
    #[arg(long, value_name = "METHOD")]
    pub(crate) with_explanation: Option<String>,
    /// Layer to look at (see `heatlens inspect`); the last spatial one if not given
    #[arg(long, requires = "with_explanation")]
    pub(crate) layer: Option<String>,
    /// The class to explain: predicted, a name or a number
    #[arg(long, default_value = "predicted", allow_hyphen_values = true, requires = "with_explanation")]
    pub(crate) class: String,
    /// Explain the value before the sigmoid or softmax, or the probability after it
    #[arg(long, value_parser = one_of(SCORES), default_value = "logit", requires = "with_explanation")]
    pub(crate) score: String,
    /// Size of a layer's map: its own, or the image's
    #[arg(
        long = "explanation-size",
        value_name = "EXPLANATION_SIZE",
        value_parser = words(MAP_SIZES),
        action = ArgAction::Set,
        default_value = "map",
        requires = "with_explanation"
    )]
    pub(crate) image_size: bool,
    /// How maps of a layer's size are laid over the image: receptive-field puts each cell where it looks, resize spreads
    /// them evenly as other libraries do
    #[arg(long, value_name = "HOW", default_value = "receptive-field", requires = "with_explanation")]
    pub(crate) placement: Placing,
    /// Replace OUT if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

const MAP_SIZES: &[(&str, &str, bool)] = &[
    ("map", "As many rows and columns as the layer", false),
    ("image", "Laid over the image by bilinear interpolation", true),
];

#[derive(Debug, Args)]
pub(crate) struct Methods {
    /// Show these methods alone
    #[arg(value_name = "METHOD", conflicts_with = "markdown")]
    pub(crate) methods: Vec<String>,
    /// Print one JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// Print a page in Markdown: docs/methods.md
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// On that page, show the examples in this folder: pictures called after the methods
    #[arg(long, value_name = "DIR", requires = "markdown")]
    pub(crate) pictures: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// A model file (ONNX or Keras: .onnx, .keras, .h5)
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) ports: Ports,
    /// Methods to time, separated by commas (see `heatlens methods`); the heat map of `explain` if not given
    #[arg(long, value_delimiter = ',')]
    pub(crate) method: Vec<String>,
    /// Images at a time: 1 tells the latency, more the throughput
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    pub(crate) batch_size: usize,
    /// Runs that count, after one to warm up
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub(crate) repeat: usize,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("expected a whole number from 1 on, found {text:?}")),
        Ok(number) => Ok(number),
    }
}
