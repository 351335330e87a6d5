//! What a front end asks for, as plain values: they can be written down, compared and read back, so that a run can go on
//! or be merged without the front end that began it.
//!
//! Words (`"shorter:256"`, `"cat"`) stay words here: what they mean may depend on the model.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::{ArrayNumbers, Dataset, OpenOptions, RowRange, Shard};
use crate::method::{self, Method, Settings};
use crate::model::{HeadKind, Model, ModelOptions, Placing, Preparation};
use crate::nearest;
use crate::predict::first_look;
use crate::reference;
use crate::run::{Monitor, PictureStyle, RunError};

/// Sizes of more rows or columns than this are a slip of the finger.
const MOST_SIDE: usize = 8192;

/// A model file, and what its file does not say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelRequest {
    /// The file.
    pub path: PathBuf,
    /// The input that takes the image.
    pub input: Option<String>,
    /// The output that holds the scores.
    pub output: Option<String>,
    /// What the scores mean: a [`HeadKind`].
    pub head: Option<String>,
    /// Height and width where the file leaves them open: `224` or `224x320`.
    pub input_size: Option<String>,
    /// Arrays for further inputs: `NAME=FILE.npy`.
    pub feed: Vec<String>,
    /// What an embedding is held against.
    pub reference: Option<PathBuf>,
    /// Which pixels of a segmentation count: `predicted`, `at:ROW,COLUMN` or a mask picture.
    pub region: Option<String>,
    /// A file with the names of the classes.
    pub labels: Option<PathBuf>,
    /// How images of another shape are brought to the model's: a [`Resize`](crate::data::Resize).
    pub resize: Option<String>,
    /// Size of the middle that is cut out.
    pub crop: Option<String>,
    /// A [`Preset`](crate::data::Preset).
    pub preset: Option<String>,
    /// A [`Scale`](crate::data::Scale).
    pub scale: Option<String>,
    /// Subtracted after scaling.
    pub mean: Vec<f32>,
    /// Divided by at last.
    pub std: Vec<f32>,
}

impl ModelRequest {
    /// The options to open the file with.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn options(&self) -> Result<ModelOptions, RunError> {
        let by_reference = self.reference.as_ref().map(|_| HeadKind::Similarity);
        Ok(ModelOptions {
            input: self.input.clone(),
            output: self.output.clone(),
            head: parsed("head", self.head.as_deref())?.or(by_reference),
            input_size: sized("input-size", self.input_size.as_deref())?,
            feeds: self.feed.iter().map(|feed| named_file(feed)).collect::<Result<_, _>>()?,
            ..ModelOptions::default()
        })
    }

    /// Opens the model and takes over what is said of its input, its classes and its head. Its notes say what is assumed.
    ///
    /// # Errors
    /// If the file cannot be opened, or what is said does not fit it.
    pub fn open(&self) -> Result<Model, RunError> {
        let options = ModelOptions { ask: true, named: self.labels.is_some(), ..self.options()? };
        let mut model = Model::open_with(&self.path, &options)?;
        if let Some(file) = &self.labels {
            model.read_class_names(file)?;
        }
        let preparation = Preparation {
            resize: parsed("resize", self.resize.as_deref())?,
            crop: sized("crop", self.crop.as_deref())?,
            preset: parsed("preset", self.preset.as_deref())?,
            scale: parsed("scale", self.scale.as_deref())?,
            mean: self.mean.clone(),
            std: self.std.clone(),
        };
        model.prepare(&preparation).map_err(|e| RunError::Request(e.to_string()))?;
        let model = self.with_reference(model)?;
        Ok(match &self.region {
            Some(region) => model.with_region(region)?,
            None => model,
        })
    }

    /// Holds an embedding against the reference.
    fn with_reference(&self, model: Model) -> Result<Model, RunError> {
        let refused = |reason: &str| Err(RunError::Request(reason.to_owned()));
        match (model.head.needs_reference(), &self.reference) {
            (false, None) => Ok(model),
            (true, Some(reference)) => {
                let embedding = reference::embedding(&model, reference)?;
                Ok(model.with_reference(&embedding)?)
            }
            (false, Some(_)) => {
                refused("--reference: only --head similarity holds images against another one")
            }
            (true, None) => refused(
                "--head similarity: similar to what? --reference IMAGE, or --reference FILE.npy with an embedding",
            ),
        }
    }
}

/// Images to read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataRequest {
    /// Image files, folders, `.npy` or `.npz`.
    pub paths: Vec<PathBuf>,
    /// Rows of an array, as Python writes them.
    pub rows: Option<String>,
    /// The order of an array's axes: `nhwc` or `nchw`.
    pub layout: Option<String>,
}

impl DataRequest {
    /// The options to read the images with, on their own.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn options(&self) -> Result<OpenOptions, RunError> {
        Ok(OpenOptions {
            rows: rows("rows", self.rows.as_deref())?,
            layout: parsed("layout", self.layout.as_deref())?,
            ..OpenOptions::default()
        })
    }

    /// Opens the images for a model and says what is done to them. Class folders may give the model's classes their names.
    ///
    /// # Errors
    /// If they cannot be opened or do not fit the model.
    pub fn open(&self, model: &mut Model, monitor: &dyn Monitor) -> Result<Box<dyn Dataset>, RunError> {
        let data = model.open_inputs(&self.paths, &self.options()?)?;
        monitor.notes(&data.notes());
        monitor.notes(&first_look(model, data.as_ref())?);
        Ok(data)
    }

    /// The paths as a title.
    #[must_use]
    pub fn title(&self) -> String {
        self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// What to explain, how, and what to write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// The model.
    pub model: ModelRequest,
    /// The images.
    pub data: DataRequest,
    /// Ids of the methods; those that fit the model if there are none; `all` takes all that apply.
    pub methods: Vec<String>,
    /// Names of the layers; the model's default layer if there are none; `all` takes those that `inspect` lists.
    pub layers: Vec<String>,
    /// How several layers' maps become one: a [`Fusion`](crate::explain::Fusion).
    pub fuse: Option<String>,
    /// Whether maps are averaged over mirrored and scaled copies.
    pub aug_smooth: bool,
    /// Whether the channels' first principal component takes the place of their sum.
    pub eigen_smooth: bool,
    /// A library whose last steps are applied: a [`Compat`](crate::explain::Compat).
    pub compat: Option<String>,
    /// How layer maps are laid over the image: a [`Placing`].
    pub placement: String,
    /// The class: `predicted`, `runner-up`, `all`, a name or a number.
    pub class: String,
    /// The detection, of a detector: `best`, a rank from 1, or a class.
    pub detection: Option<String>,
    /// The class that it is held against.
    pub against: Option<String>,
    /// Whether the question is turned round.
    pub counterfactual: bool,
    /// Parameters of methods, `name=value` or `method.name=value`.
    pub set: Vec<String>,
    /// Seed of masks, noise and samples.
    pub seed: u64,
    /// `logit` or `probability`.
    pub score: String,
    /// What is written: `png`, `npz`, `npz16`, `heat`, `tensors`, `boxes`, `masks`.
    pub save: Vec<String>,
    /// How pictures look.
    pub pictures: PictureStyle,
    /// What counts as hot: a [`Threshold`](crate::localise::Threshold).
    pub threshold: String,
    /// Which parts become boxes: [`Components`](crate::localise::Components).
    pub components: String,
    /// The true objects.
    pub truth: Option<PathBuf>,
    /// Whether `report.html` is written.
    pub report: bool,
}

/// What to audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRequest {
    /// The model.
    pub model: ModelRequest,
    /// Images that the model was not trained on.
    pub data: DataRequest,
    /// Ids of the methods; well-known ones if there are none; `all` takes all.
    pub methods: Vec<String>,
    /// How many images the methods are measured on; 64 if not given, or all with `full`.
    pub measured: Option<usize>,
    /// Whether all methods are measured on all images.
    pub full: bool,
    /// The images that the model was trained on.
    pub train_data: Option<PathBuf>,
    /// How layer maps are laid over the image: a [`Placing`].
    pub placement: String,
    /// Parameters of methods.
    pub set: Vec<String>,
    /// Seed of the choice of images, of noise, random weights and intervals.
    pub seed: u64,
}

/// What a run does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Request {
    /// Pictures of where a model looks.
    Explain(Box<ExplainRequest>),
    /// Whether the model and the methods can be believed.
    Audit(Box<AuditRequest>),
    /// A model of images: every setting that the result depends on, and where the images lie.
    Train(serde_json::Map<String, serde_json::Value>),
}

/// Where the results go, and how much of the work is done here. None of it changes a result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunOptions {
    /// The folder for the results.
    pub out: PathBuf,
    /// The part of the images that is done here; all if not given.
    pub shard: Option<Shard>,
    /// Whether a run that was stopped goes on.
    pub resume: bool,
    /// Whether the folder may hold something already.
    pub force: bool,
    /// How a person repeats the run, for the report.
    pub command: String,
}

/// The input and the file of `NAME=FILE.npy`.
fn named_file(feed: &str) -> Result<(String, PathBuf), RunError> {
    let pair = feed.split_once('=').filter(|(name, file)| !name.is_empty() && !file.is_empty());
    let wrong = || RunError::option("feed")(format!("expected NAME=FILE.npy, found {feed:?}"));
    pair.map(|(name, file)| (name.to_owned(), PathBuf::from(file))).ok_or_else(wrong)
}

/// Reads the value of an option.
pub(super) fn parsed<T: FromStr<Err: Display>>(
    option: &'static str,
    word: Option<&str>,
) -> Result<Option<T>, RunError> {
    word.map(|word| word.parse().map_err(|e: T::Err| RunError::option(option)(e.to_string()))).transpose()
}

/// The value that a word stands for.
pub(super) fn named<T: Copy>(
    option: &'static str,
    word: Option<&str>,
    known: &[(&'static str, T)],
) -> Result<Option<T>, RunError> {
    let value = |word| nearest::named(word, known.iter().copied());
    word.map(value).transpose().map_err(RunError::option(option))
}

/// Height and width from one number or two.
///
/// # Errors
/// If it is neither `95` nor `95x80`, or a side is 0 or above 8192.
pub fn size(option: &'static str, text: &str) -> Result<[usize; 2], RunError> {
    let (h, w) = text.split_once('x').unwrap_or((text, text));
    let number = |t: &str| t.parse().ok().filter(|n| (1..=MOST_SIDE).contains(n));
    match (number(h), number(w)) {
        (Some(h), Some(w)) => Ok([h, w]),
        _ => Err(RunError::Request(format!(
            "--{option} {text}: expected a number such as 95, or height and width as 95x80"
        ))),
    }
}

fn sized(option: &'static str, text: Option<&str>) -> Result<Option<[usize; 2]>, RunError> {
    text.map(|text| size(option, text)).transpose()
}

/// Rows as Python writes them.
///
/// # Errors
/// If they cannot be read.
pub fn rows(option: &'static str, text: Option<&str>) -> Result<Option<RowRange>, RunError> {
    parsed(option, text)
}

/// Which arrays hold pixels to train on: `raw` takes them as they are.
///
/// # Errors
/// If it is another word.
pub fn numbers(scale: Option<&str>) -> Result<ArrayNumbers, RunError> {
    match scale {
        None => Ok(ArrayNumbers::Pixels),
        Some("raw") => Ok(ArrayNumbers::Raw),
        Some(other) => Err(RunError::option("scale")(format!("expected raw, found {other:?}"))),
    }
}

/// The methods of these names; `all` are all there are.
///
/// # Errors
/// If there is none of a name.
pub fn methods(names: &[String]) -> Result<Vec<&'static Method>, RunError> {
    if names == ["all"] {
        return Ok(method::METHODS.to_vec());
    }
    let found: Result<_, _> = names.iter().map(|id| method::find(id)).collect();
    found.map_err(|e: method::MethodError| RunError::Request(e.to_string()))
}

/// What is set on methods.
///
/// # Errors
/// If a parameter or the placement is not known.
pub fn settings(seed: u64, assignments: &[String], placement: &str) -> Result<Settings, RunError> {
    let mut settings = Settings::with_seed(seed);
    for assignment in assignments {
        settings.set(assignment).map_err(|e| RunError::Request(e.to_string()))?;
    }
    Ok(settings.placed(named("placement", Some(placement), &Placing::ALL)?.unwrap_or_default()))
}
