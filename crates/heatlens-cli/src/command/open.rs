//! From the words on the command line to data and models.

use std::fs;
use std::path::Path;

use heatlens::data::{Dataset, Layout, OpenOptions, Preset, RowRange};
use heatlens::model::{Model, ModelOptions};

use crate::arguments::{Input, LayoutName, Pixels, Ports};
use crate::failure::Failure;
use crate::output;

/// How many images are looked at to see whether their range makes sense.
const LOOK_AT: usize = 4;

/// Opens a model with the chosen input and output.
pub(crate) fn ports(path: &Path, ports: &Ports) -> Result<Model, Failure> {
    let options = ModelOptions { input: ports.image.clone(), output: ports.scores.clone() };
    Ok(Model::open_with(path, &options)?)
}

/// Opens a model, repeats its notes, and takes over what the flags say of its input and classes.
pub(crate) fn model(path: &Path, ports: &Ports, pixels: &Pixels) -> Result<Model, Failure> {
    let mut model = self::ports(path, ports)?;
    model.notes.iter().for_each(output::note);
    let guessed =
        pixels.preset.is_none() && pixels.scale.is_none() && pixels.mean.is_empty() && pixels.std.is_empty();
    if guessed && !model.described && model.own_scaling.is_none() {
        output::note(
            "the file does not say how images are prepared: image files go in as 0…1 (--preset changes that)",
        );
    }
    if let Some(file) = &pixels.labels {
        let text = fs::read_to_string(file)
            .map_err(|e| Failure::new(format!("cannot read {}: {e}", file.display())))?;
        let names: Vec<String> =
            text.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
        if names.len() != model.class_names.len() {
            let (found, expected) = (names.len(), model.class_names.len());
            return Err(Failure::new(format!(
                "{}: {found} names, the model has {expected} classes",
                file.display()
            )));
        }
        model.class_names = names;
    }
    let preprocessing = &mut model.preprocessing;
    if let Some(resize) = &pixels.resize {
        preprocessing.resize =
            resize.parse().map_err(|e: String| Failure::usage(format!("--resize: {e}")))?;
    }
    if let Some(preset) = &pixels.preset {
        let preset: Preset = preset.parse().map_err(|e: String| Failure::usage(format!("--preset: {e}")))?;
        preset.apply(preprocessing).map_err(|e| Failure::usage(e.to_string()))?;
    }
    preprocessing.scale = pixels.scale.unwrap_or(preprocessing.scale);
    let channels = preprocessing.channels;
    for (given, target) in [(&pixels.mean, &mut preprocessing.mean), (&pixels.std, &mut preprocessing.std)] {
        match given.as_slice() {
            [] => {}
            &[value] => *target = vec![value; channels],
            values => *target = values.to_vec(),
        }
    }
    preprocessing.validate().map_err(|e| Failure::usage(e.to_string()))?;
    model.described |= !guessed || pixels.resize.is_some();
    Ok(model)
}

/// Says if the first images' values are plainly not what the model expects.
pub(crate) fn check_range(model: &Model, data: &dyn Dataset) {
    let images = (0..data.len().min(LOOK_AT)).filter_map(|item| data.load(item).ok());
    let values: Vec<f32> = images.flat_map(|image| image.pixels).filter(|v| v.is_finite()).collect();
    let min = values.iter().copied().fold(f32::INFINITY, f32::min);
    let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if let Some(problem) = model.range_problem(min, max) {
        output::note(problem);
    }
}

/// Rows as Python writes them.
pub(crate) fn rows(flag: &str, text: Option<&str>) -> Result<Option<RowRange>, Failure> {
    text.map(|text| text.parse().map_err(|e| Failure::usage(format!("{flag}: {e}")))).transpose()
}

/// How to read data on their own.
pub(crate) fn options(input: &Input) -> Result<OpenOptions, Failure> {
    let layout = input.layout.map(|layout| match layout {
        LayoutName::Nhwc => Layout::Nhwc,
        LayoutName::Nchw => Layout::Nchw,
    });
    Ok(OpenOptions { rows: rows("--rows", input.rows.as_deref())?, layout, ..OpenOptions::default() })
}

/// How to read data for a model.
pub(crate) fn options_for(model: &Model, input: &Input) -> Result<OpenOptions, Failure> {
    Ok(OpenOptions {
        preprocessing: Some(model.preprocessing.clone()),
        class_names: Some(model.class_names.clone()),
        ..options(input)?
    })
}
