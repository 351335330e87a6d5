//! Complete runs: audits and training.

use std::path::PathBuf;

use heatlens::data::OpenOptions;
use heatlens::run::{self, AuditRequest, DataRequest, Monitor, RunOptions};
use heatlens::train::arch;
use heatlens::train::fit::Observer;
use heatlens::train::history::EpochRecord;
use heatlens::train::recipe::{self, Choices, RECIPES};
use heatlens::train::run::{Source, TrainingPlan};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::json;

use crate::error;
use crate::model::request;
use crate::pool::{Watch, watched};

impl Observer for &Watch {
    fn step(&mut self, _: u64, _: usize, _: usize) -> bool {
        !self.is_stopped()
    }

    fn epoch(&mut self, _: &EpochRecord) {}
}

/// Remarks, and the inputs that could not be read.
type Messages = (Vec<String>, Vec<String>);

fn messages(watch: &Watch) -> Messages {
    (watch.take_remarks(), watch.take_left_out())
}

/// Audits a model; writes `audit.json` and `report.html` to the folder `out`.
#[pyfunction]
#[pyo3(signature = (model, options, paths, out, methods, images, seed, set, force))]
#[allow(clippy::too_many_arguments)] // only called by heatlens/_model.py, by name
pub(crate) fn audit(
    py: Python<'_>,
    model: PathBuf,
    options: &Bound<'_, PyDict>,
    paths: Vec<PathBuf>,
    out: PathBuf,
    methods: Vec<String>,
    images: Option<usize>,
    seed: u64,
    set: Vec<String>,
    force: bool,
) -> PyResult<Messages> {
    let asked = AuditRequest {
        model: request(model, options)?,
        data: DataRequest { paths, ..DataRequest::default() },
        methods,
        measured: images,
        full: false,
        train_data: None,
        placement: "receptive-field".to_owned(),
        set,
        seed,
    };
    let options =
        RunOptions { out, force, command: "heatlens.Model.audit".to_owned(), ..RunOptions::default() };
    let work = |watch: &Watch| run::audit(&asked, &options, watch).map(|_| messages(watch));
    watched(py, work)?.map_err(error)
}

/// Trains on the arrays or class folders at `data`; writes `model.onnx` and `metrics.json` to the folder `out`.
#[pyfunction]
#[pyo3(signature = (data, validation, out, options, force))]
pub(crate) fn train(
    py: Python<'_>,
    data: PathBuf,
    validation: Option<PathBuf>,
    out: PathBuf,
    options: &Bound<'_, PyDict>,
    force: bool,
) -> PyResult<Messages> {
    let given = |key: &str| Ok::<_, PyErr>(options.get_item(key)?.filter(|value| !value.is_none()));
    let text = |key: &str| given(key)?.map(|value| value.extract::<String>()).transpose();
    let whole = |key: &str| given(key)?.map(|value| value.extract::<u64>()).transpose();
    let name = text("recipe")?.unwrap_or_else(|| RECIPES[0].id.to_owned());
    let recipe = recipe::find(&name).ok_or_else(|| {
        let known: Vec<&str> = RECIPES.iter().map(|recipe| recipe.id).collect();
        error(format!("recipe: expected {}, found {name:?}", known.join(", ")))
    })?;
    let network = text("arch")?;
    let unknown = || error(format!("there is no network {:?}", network.as_deref().unwrap_or_default()));
    let choices = Choices {
        architecture: network.as_deref().map(|id| arch::find(id).ok_or_else(unknown)).transpose()?,
        epochs: whole("epochs")?,
        batch_size: given("batch_size")?.map(|value| value.extract()).transpose()?,
        learning_rate: given("learning_rate")?.map(|value| value.extract()).transpose()?,
        patience: whole("patience")?,
        monitor: text("monitor")?,
        validation_split: given("validation_split")?.map(|value| value.extract()).transpose()?,
        seed: whole("seed")?.unwrap_or(0),
        ..Choices::default()
    };
    let scale = text("scale")?;
    let open =
        OpenOptions { numbers: run::numbers(scale.as_deref()).map_err(error)?, ..OpenOptions::default() };
    let options = RunOptions { out, force, command: "heatlens.train".to_owned(), ..RunOptions::default() };
    let train = |mut watch: &Watch| -> Result<Messages, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let source = Source::find(&data, validation.as_deref()).map_err(|e| text(&e))?;
        let plan = TrainingPlan::new(&source, &open, recipe, &choices, watch).map_err(|e| text(&e))?;
        let kept = json!({"recipe": recipe.id, "scale": scale}).as_object().cloned().unwrap_or_default();
        let _lock = plan.begin(&options, kept).map_err(|e| text(&e))?;
        let (settings, set) = (plan.settings.clone(), &plan.set);
        let done = heatlens::train::run::train(settings, set, &options.out, false, &mut watch);
        done.map(|_| messages(watch)).map_err(|e| text(&e))
    };
    watched(py, train)?.map_err(error)
}
