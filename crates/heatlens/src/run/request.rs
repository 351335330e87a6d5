//! Requests of a front end as plain values. They can be stored, compared and read back, so that a run can be resumed or
//! merged without the front end that started it.
//!
//! Options such as `"shorter:256"` or `"cat"` are kept as strings, since their meaning may depend on the model.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::{ArrayNumbers, Dataset, OpenOptions, RowRange, Shard};
use crate::method::{self, Method, MethodSettings};
use crate::model::{HeadKind, Model, ModelOptions, Placing, Preparation};
use crate::nearest::{self, Named};
use crate::predict::check_plausibility;
use crate::reference;
use crate::run::{Monitor, PictureStyle, RunError};

/// Maximum side length in pixels; larger sizes are taken for typing errors.
const MOST_SIDE: usize = 8192;

/// A model file, and the information missing from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelRequest {
    /// Path of the file.
    pub path: PathBuf,
    /// Name of the image input.
    pub input: Option<String>,
    /// Name of the output that holds the scores.
    pub output: Option<String>,
    /// Meaning of the scores: a [`HeadKind`].
    pub head: Option<String>,
    /// Height and width, if the file leaves them open: `224` or `224x320`.
    pub input_size: Option<String>,
    /// Arrays for further inputs: `NAME=FILE.npy`.
    pub feed: Vec<String>,
    /// Image or embedding to compare embeddings with.
    pub reference: Option<PathBuf>,
    /// Pixels of a segmentation that count: `predicted`, `at:ROW,COLUMN` or a mask image.
    pub region: Option<String>,
    /// File with the class names.
    pub labels: Option<PathBuf>,
    /// Conversion of images of another shape to the model's input size: a [`Resize`](crate::data::Resize).
    pub resize: Option<String>,
    /// Size of the centre crop.
    pub crop: Option<String>,
    /// Name of a [`Preset`](crate::data::Preset).
    pub preset: Option<String>,
    /// Name of a [`Scale`](crate::data::Scale).
    pub scale: Option<String>,
    /// Values subtracted after scaling.
    pub mean: Vec<f32>,
    /// Divisors applied after subtracting the mean.
    pub std: Vec<f32>,
}

impl ModelRequest {
    /// Returns the options for opening the file.
    ///
    /// # Errors
    /// If one of them is invalid.
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

    /// Opens the model and applies the given information on its input, classes and head. Assumptions are listed in the
    /// model's notes.
    ///
    /// # Errors
    /// If the file cannot be opened, or the given information does not fit it.
    pub fn open(&self) -> Result<Model, RunError> {
        let model = self.open_base()?;
        let reference = self.reference_embedding(&model)?;
        let model = compared(model, reference.as_deref())?;
        Ok(match &self.region {
            Some(region) => model.with_region(region)?,
            None => model,
        })
    }

    /// Opens the model without its reference and its region.
    ///
    /// # Errors
    /// If the file cannot be opened, or the given information does not fit it.
    pub fn open_base(&self) -> Result<Model, RunError> {
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
        Ok(model)
    }

    /// Returns the embedding of the reference, for a model of embeddings: that of an image, or one that is stored.
    ///
    /// # Errors
    /// If the file holds neither.
    pub fn reference_embedding(&self, model: &Model) -> Result<Option<Vec<f32>>, RunError> {
        let wanted = self.reference.as_ref().filter(|_| model.head.needs_reference());
        match (wanted, &self.reference) {
            (Some(reference), _) => Ok(Some(reference::embedding(model, reference)?)),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(without_embeddings()),
        }
    }
}

/// Returns the model with its embeddings compared with `reference`; a model without embeddings as it is.
///
/// # Errors
/// If the model has embeddings and there is no reference, or the other way round, or if the reference does not fit.
pub fn compared(model: Model, reference: Option<&[f32]>) -> Result<Model, RunError> {
    match (model.head.needs_reference(), reference) {
        (false, None) => Ok(model),
        (true, Some(reference)) => Ok(model.with_reference(reference)?),
        (false, Some(_)) => Err(without_embeddings()),
        (true, None) => Err(RunError::Request(
            "--head similarity needs a reference: give --reference IMAGE, or --reference FILE.npy with an embedding"
                .to_owned(),
        )),
    }
}

fn without_embeddings() -> RunError {
    RunError::Request("--reference: only --head similarity compares images with a reference".to_owned())
}

/// Images to read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataRequest {
    /// Image files, folders, `.npy` or `.npz` files.
    pub paths: Vec<PathBuf>,
    /// Rows of an array, in Python's slice notation.
    pub rows: Option<String>,
    /// Axis order of an array: `nhwc` or `nchw`.
    pub layout: Option<String>,
}

impl DataRequest {
    /// Returns the options for opening the images.
    ///
    /// # Errors
    /// If one of them is invalid.
    pub fn options(&self) -> Result<OpenOptions, RunError> {
        Ok(OpenOptions {
            rows: rows("rows", self.rows.as_deref())?,
            layout: parsed("layout", self.layout.as_deref())?,
            ..OpenOptions::default()
        })
    }

    /// Opens the images for a model and reports their preprocessing. Class folders may provide the model's class names.
    ///
    /// # Errors
    /// If they cannot be opened or do not fit the model.
    pub fn open(&self, model: &mut Model, monitor: &dyn Monitor) -> Result<Box<dyn Dataset>, RunError> {
        let data = model.open_inputs(&self.paths, &self.options()?)?;
        monitor.notes(&data.notes());
        monitor.notes(&check_plausibility(model, data.as_ref())?);
        Ok(data)
    }

    /// Returns the paths as a title.
    #[must_use]
    pub fn title(&self) -> String {
        self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// Request for an `explain` run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// Model to explain.
    pub model: ModelRequest,
    /// Images to explain.
    pub data: DataRequest,
    /// Ids of the methods; suitable ones for the model if empty; `all` selects all that apply.
    pub methods: Vec<String>,
    /// Names of the layers; the model's default layer if empty; `all` selects those that `inspect` lists.
    pub layers: Vec<String>,
    /// Fusion of several layers' maps: a [`Fusion`](crate::explain::Fusion).
    pub fuse: Option<String>,
    /// True if maps are averaged over mirrored and scaled copies of the image.
    pub aug_smooth: bool,
    /// True if the first principal component of the channels is used instead of their sum.
    pub eigen_smooth: bool,
    /// Library whose post-processing is applied: a [`Compat`](crate::explain::Compat).
    pub compat: Option<String>,
    /// Placement of layer maps over the image: a [`Placing`].
    pub placement: String,
    /// Class to explain: `predicted`, `runner-up`, `all`, a name or a number.
    pub class: String,
    /// Detection to explain, for detectors: `best`, a rank from 1, or a class.
    pub detection: Option<String>,
    /// Class to compare with.
    pub against: Option<String>,
    /// True for a counterfactual explanation: what lowers the score.
    pub counterfactual: bool,
    /// Parameters of methods: `name=value` or `method.name=value`.
    pub set: Vec<String>,
    /// Seed of masks, noise and samples.
    pub seed: u64,
    /// Explained score: `logit` or `probability`.
    pub score: String,
    /// Outputs to write: `png`, `npz`, `npz16`, `heat`, `tensors`, `boxes`, `masks`.
    pub save: Vec<String>,
    /// Appearance of the pictures.
    pub pictures: PictureStyle,
    /// Threshold for hot regions: a [`Threshold`](crate::localise::Threshold).
    pub threshold: String,
    /// Connected components that become boxes: [`Components`](crate::localise::Components).
    pub components: String,
    /// Path of the ground truth.
    pub truth: Option<PathBuf>,
    /// True if `report.html` is written.
    pub report: bool,
}

/// Request for an audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRequest {
    /// Model to audit.
    pub model: ModelRequest,
    /// Images that the model was not trained on.
    pub data: DataRequest,
    /// Ids of the methods; well-known ones if empty; `all` selects all.
    pub methods: Vec<String>,
    /// Number of images on which the methods are measured; 64 by default, all with `full`.
    pub measured: Option<usize>,
    /// True if all methods are measured on all images.
    pub full: bool,
    /// Path of the images that the model was trained on.
    pub train_data: Option<PathBuf>,
    /// Placement of layer maps over the image: a [`Placing`].
    pub placement: String,
    /// Parameters of methods: `name=value` or `method.name=value`.
    pub set: Vec<String>,
    /// Seed of the image selection, noise, random weights and confidence intervals.
    pub seed: u64,
}

/// Request for a run, by command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Request {
    /// Attribution maps of images.
    Explain(Box<ExplainRequest>),
    /// Audit of a model and of attribution methods.
    Audit(Box<AuditRequest>),
    /// Training of an image classifier: all settings that affect the result, and the paths of the images.
    Train(serde_json::Map<String, serde_json::Value>),
}

/// Destination of the results, and the part of the work to do. None of these options changes a result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunOptions {
    /// Folder for the results.
    pub out: PathBuf,
    /// Shard of the images to process; all images if `None`.
    pub shard: Option<Shard>,
    /// True if an interrupted run is resumed.
    pub resume: bool,
    /// True if the folder may contain files already.
    pub force: bool,
    /// Command that repeats the run, for the report.
    pub command: String,
}

/// Splits `NAME=FILE.npy` into the name of the input and the path.
fn named_file(feed: &str) -> Result<(String, PathBuf), RunError> {
    let pair = feed.split_once('=').filter(|(name, file)| !name.is_empty() && !file.is_empty());
    let wrong = || RunError::option("feed")(format!("expected NAME=FILE.npy, found {feed:?}"));
    pair.map(|(name, file)| (name.to_owned(), PathBuf::from(file))).ok_or_else(wrong)
}

/// Parses the value of an option.
pub(super) fn parsed<T: FromStr<Err: Display>>(
    option: &'static str,
    word: Option<&str>,
) -> Result<Option<T>, RunError> {
    word.map(|word| word.parse().map_err(|e: T::Err| RunError::option(option)(e.to_string()))).transpose()
}

/// Looks up the value with this name.
pub(super) fn named<T: Copy>(
    option: &'static str,
    word: Option<&str>,
    known: &[Named<T>],
) -> Result<Option<T>, RunError> {
    let value = |word| nearest::named(word, known.iter().copied());
    word.map(value).transpose().map_err(RunError::option(option))
}

/// Parses height and width from one number or two.
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

/// Parses rows in Python's slice notation.
///
/// # Errors
/// If they are invalid.
pub fn rows(option: &'static str, text: Option<&str>) -> Result<Option<RowRange>, RunError> {
    parsed(option, text)
}

/// Returns the interpretation of arrays in training data; `raw` uses their values unchanged.
///
/// # Errors
/// If `scale` is neither `raw` nor absent.
pub fn numbers(scale: Option<&str>) -> Result<ArrayNumbers, RunError> {
    match scale {
        None => Ok(ArrayNumbers::Pixels),
        Some("raw") => Ok(ArrayNumbers::Raw),
        Some(other) => Err(RunError::option("scale")(format!("expected raw, found {other:?}"))),
    }
}

/// Returns the methods with these names; `all` selects every method.
///
/// # Errors
/// If there is no method with a given name.
pub fn methods(names: &[String]) -> Result<Vec<&'static Method>, RunError> {
    if names == ["all"] {
        return Ok(method::METHODS.to_vec());
    }
    let found: Result<_, _> = names.iter().map(|id| method::find(id)).collect();
    found.map_err(|e: method::MethodError| RunError::Request(e.to_string()))
}

/// Returns the settings of the methods.
///
/// # Errors
/// If a parameter or the placement is unknown.
pub fn settings(seed: u64, assignments: &[String], placement: &str) -> Result<MethodSettings, RunError> {
    let mut settings = MethodSettings::with_seed(seed);
    for assignment in assignments {
        settings.set(assignment).map_err(|e| RunError::Request(e.to_string()))?;
    }
    Ok(settings.placed(named("placement", Some(placement), &Placing::ALL)?.unwrap_or_default()))
}
