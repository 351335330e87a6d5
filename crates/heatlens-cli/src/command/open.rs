//! From the words on the command line to data and models.

use heatlens::data::{Layout, OpenOptions, RowRange};
use heatlens::model::Model;

use crate::arguments::{Input, LayoutName};
use crate::failure::Failure;
use crate::output;

/// Opens a model and repeats its notes.
pub(crate) fn model(path: &std::path::Path) -> Result<Model, Failure> {
    let model = Model::open(path)?;
    model.notes.iter().for_each(output::note);
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
