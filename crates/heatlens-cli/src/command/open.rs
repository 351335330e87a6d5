//! Conversion of flags to requests for a model and images, and opening of both.

use std::path::{Path, PathBuf};

use heatlens::data::{Dataset, OpenOptions, Shard};
use heatlens::explain::{ExplainOptions, Explainer};
use heatlens::model::Model;
use heatlens::run::{DataRequest, ModelRequest, Monitor, RunOptions};

use crate::arguments::{Input, ModelFile, Pixels, RunFolder};
use crate::command::again;
use crate::failure::Failure;
use crate::output;
use crate::progress::Terminal;

/// Collects the flags that concern a model.
pub(crate) fn request(file: &ModelFile, pixels: Option<&Pixels>) -> ModelRequest {
    let request = ModelRequest {
        path: file.path.clone(),
        input: file.image.clone(),
        output: file.scores.clone(),
        head: file.head.clone(),
        input_size: file.input_size.clone(),
        reference: file.reference.clone(),
        region: file.region.clone(),
        feed: file.feed.clone(),
        ..ModelRequest::default()
    };
    let Some(pixels) = pixels else { return request };
    ModelRequest {
        labels: pixels.labels.clone(),
        resize: pixels.resize.clone(),
        crop: pixels.crop.clone(),
        preset: pixels.preset.clone(),
        scale: pixels.scale.clone(),
        mean: pixels.mean.clone(),
        std: pixels.std.clone(),
        ..request
    }
}

/// Collects the options of a run: output folder, shard, resuming, overwriting.
pub(crate) fn places(out: &Path, shard: Option<Shard>, folder: &RunFolder) -> RunOptions {
    let RunFolder { resume, force } = *folder;
    RunOptions { out: out.to_owned(), shard, resume, force, command: again::line(&again::words()) }
}

/// Collects the flags that concern images.
pub(crate) fn inputs(paths: &[PathBuf], input: &Input) -> DataRequest {
    DataRequest { paths: paths.to_vec(), rows: input.rows.clone(), layout: input.layout.clone() }
}

/// Opens a model with the selected input, output and head.
pub(crate) fn file(file: &ModelFile) -> Result<Model, Failure> {
    Ok(Model::open_with(&file.path, &request(file, None).options()?)?)
}

/// Opens a model with the settings from the flags, and prints its notes.
pub(crate) fn model(file: &ModelFile, pixels: &Pixels) -> Result<Model, Failure> {
    let model = request(file, Some(pixels)).open()?;
    Terminal::default().notes(&model.notes);
    Ok(model)
}

/// Opens images for a model, and prints how they are preprocessed.
pub(crate) fn data(model: &mut Model, paths: &[PathBuf], input: &Input) -> Result<Box<dyn Dataset>, Failure> {
    Ok(inputs(paths, input).open(model, &Terminal::default())?)
}

/// Returns the options for opening data without a model.
pub(crate) fn options(input: &Input) -> Result<OpenOptions, Failure> {
    Ok(inputs(&[], input).options()?)
}

/// Creates an explainer with default options and prints its notes.
pub(crate) fn explainer(model: &Model) -> Result<Explainer, Failure> {
    let mut options = ExplainOptions::new(&[]);
    options.take_default_methods(model).iter().for_each(output::note);
    let explainer = Explainer::new(model, &options)?;
    explainer.notes().iter().for_each(output::note);
    Ok(explainer)
}
