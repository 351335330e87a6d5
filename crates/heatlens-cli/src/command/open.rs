//! From the words on the command line to data and models.

use std::fs;
use std::path::Path;

use heatlens::data::{Layout, OpenOptions, RowRange};
use heatlens::model::Model;

use crate::arguments::{Input, LayoutName, Pixels};
use crate::failure::Failure;
use crate::output;

/// Opens a model, repeats its notes, and takes over what the flags say of its input and classes.
pub(crate) fn model(path: &Path, pixels: &Pixels) -> Result<Model, Failure> {
    let mut model = Model::open(path)?;
    model.notes.iter().for_each(output::note);
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
    Ok(model)
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
