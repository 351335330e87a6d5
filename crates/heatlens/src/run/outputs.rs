//! Output files of a run, as selected by the options.

use std::path::Path;

use crate::data::Dataset;
use crate::explain::Explainer;
use crate::run::pipeline::{Pipeline, TrueMask};
use crate::run::sinks::{
    arrays::Arrays, contact_sheet::ContactSheet, manifest::Manifest, pictures::Pictures,
};
use crate::run::{Monitor, RunError, Save, Sink, Summary};

/// Sinks for the output files of a run.
#[derive(Debug)]
pub(super) struct Outputs {
    pictures: Option<Pictures>,
    arrays: Arrays,
    sheet: Option<ContactSheet>,
    manifest: Manifest,
}

impl Outputs {
    /// Opens the files in the existing folder `out`; with `go_on`, those of an earlier part of the run are continued.
    pub(super) fn create(
        explainer: &Explainer,
        out: &Path,
        save: &Save,
        go_on: bool,
    ) -> Result<Self, RunError> {
        Ok(Self {
            pictures: save.png.then(|| Pictures::new(out.to_owned(), save.style)),
            arrays: Arrays::create(out, save)?,
            sheet: (save.png && save.sheet_rows > 0)
                .then(|| ContactSheet::new(explainer, save.sheet_rows, save.style)),
            manifest: Manifest::open(out, go_on)?,
        })
    }

    /// Returns all sinks, including `more`. The manifest comes last, so that every image with a line is complete.
    pub(super) fn with<'s, 'm: 's>(&'s mut self, more: Vec<&'m mut dyn Sink>) -> Vec<&'s mut dyn Sink> {
        let mut sinks: Vec<&mut dyn Sink> = Vec::new();
        sinks.extend(self.pictures.iter_mut().map(|sink| sink as &mut dyn Sink));
        sinks.push(&mut self.arrays);
        sinks.extend(self.sheet.iter_mut().map(|sink| sink as &mut dyn Sink));
        sinks.extend(more.into_iter().map(|sink| sink as &mut dyn Sink));
        sinks.push(&mut self.manifest);
        sinks
    }

    /// Writes the outputs that span all images, and adds the sheet to the summary.
    pub(super) fn finish(
        self,
        explainer: &Explainer,
        out: &Path,
        images: usize,
        summary: &mut Summary,
    ) -> Result<(), RunError> {
        self.arrays.finish()?;
        if let Some(sheet) = self.sheet {
            summary.sheet = sheet.save(explainer, out, images)?;
        }
        Ok(())
    }
}

/// Explains every image of a data set and writes the outputs selected by `save` into the existing folder `out`. The
/// images are also passed to the sinks in `more`; `truth` is outlined on the contact sheet.
///
/// # Errors
/// If something cannot be written or the images do not fit the model. Images that cannot be read are not an error; the
/// summary lists them.
pub fn write_explanations(
    explainer: &Explainer,
    data: &dyn Dataset,
    out: &Path,
    save: &Save,
    truth: Option<&TrueMask<'_>>,
    more: Vec<&mut dyn Sink>,
    monitor: &dyn Monitor,
) -> Result<Summary, RunError> {
    let mut outputs = Outputs::create(explainer, out, save, false)?;
    let mut sinks = outputs.with(more);
    let pipeline = Pipeline { truth, ..Pipeline::new(explainer, data, out) };
    let mut summary = pipeline.run(&mut sinks, monitor)?;
    outputs.finish(explainer, out, data.len(), &mut summary)?;
    Ok(summary)
}
