//! The files that a run writes of its images, by what is wanted.

use std::path::Path;

use crate::data::Dataset;
use crate::explain::Explainer;
use crate::run::pipeline::{Pipeline, TrueMask};
use crate::run::sinks::{
    arrays::Arrays, contact_sheet::ContactSheet, manifest::Manifest, pictures::Pictures,
};
use crate::run::{Monitor, RunError, Save, Sink, Summary};

/// The files that a run writes of its images.
#[derive(Debug)]
pub(super) struct Outputs {
    pictures: Option<Pictures>,
    arrays: Arrays,
    sheet: Option<ContactSheet>,
    manifest: Manifest,
}

impl Outputs {
    /// Opens the files in `out`, which exists; those of an earlier part of the run are continued if it goes on.
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

    /// All sinks, with some more; the manifest is last, so that whatever has a line is complete.
    pub(super) fn with<'s, 'm: 's>(&'s mut self, more: Vec<&'m mut dyn Sink>) -> Vec<&'s mut dyn Sink> {
        let mut sinks: Vec<&mut dyn Sink> = Vec::new();
        sinks.extend(self.pictures.iter_mut().map(|sink| sink as &mut dyn Sink));
        sinks.push(&mut self.arrays);
        sinks.extend(self.sheet.iter_mut().map(|sink| sink as &mut dyn Sink));
        sinks.extend(more.into_iter().map(|sink| sink as &mut dyn Sink));
        sinks.push(&mut self.manifest);
        sinks
    }

    /// Puts what spans all images in its place; the summary is told of the sheet.
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

/// Explains every image of a data set and writes what `save` asks for into `out`, which exists. `more` sinks see the images
/// too; `truth` is outlined on the contact sheet.
///
/// # Errors
/// If something cannot be written or the images do not fit the model. Images that cannot be read are no error: the
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
