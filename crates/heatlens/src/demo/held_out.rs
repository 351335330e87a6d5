//! The demo's held-out images, explained and reported.

use std::path::Path;

use super::{DemoFolders, Localisation, class_names, table};
use crate::data::{OpenOptions, open_inputs};
use crate::demo_data::{DemoImage, SIDE};
use crate::explain::{ExplainOptions, Explainer};
use crate::localise::Mask;
use crate::model::Model;
use crate::report::fingerprint;
use crate::run::{self, Monitor, Page, PageSinks, RunError, Save, Summary, prepare, write_explanations};

/// Explains the held-out images into `out/explain` and writes `out/report.html`, with the table of [`localise`](super::localise).
/// The rings are outlined. `model` was opened from `file`; `command` repeats the demo.
///
/// # Errors
/// If something cannot be read, explained or written.
#[allow(clippy::too_many_arguments)] // what one demo consists of
pub fn explain_held_out(
    model: &Model,
    file: &Path,
    folders: &DemoFolders,
    images: &[DemoImage],
    rows: &[Localisation],
    (seed, command): (u64, &str),
    out: &Path,
    monitor: &dyn Monitor,
) -> Result<Summary, RunError> {
    let open = OpenOptions {
        preprocessing: Some(model.preprocessing.clone()),
        class_names: Some(class_names()),
        ..OpenOptions::default()
    };
    let data = open_inputs(std::slice::from_ref(&folders.shown), &open)?;
    let mut options = ExplainOptions::new(&[]);
    monitor.notes(&options.take_default_methods(model));
    let explainer = Explainer::new(model, &options)?;
    monitor.notes(explainer.notes());
    let ring = |item: usize| {
        let image = images.get(item).filter(|image| image.label == 1)?;
        Some(Mask { height: SIDE, width: SIDE, inside: image.mask.clone() })
    };
    let target = out.join("explain");
    let _lock = prepare(&target, true)?;
    let save = Save { sheet_rows: 9, ..Save::default() };
    let mut collected = PageSinks::new(&explainer, save.style.heat())?;
    let (data, more) = (data.as_ref(), collected.sinks());
    let summary = write_explanations(&explainer, data, &target, &save, Some(&ring), more, monitor)?;
    let page = Page {
        model: file,
        fingerprint: &fingerprint(file).map_err(RunError::reading(file))?,
        command,
        title: format!("{} held-out demo images", data.len()),
        data,
        unseen: true,
        verdict: &run::verdict(model, &summary),
        explainer: &explainer,
        summary: &summary,
        seed,
        audit: None,
        tables: vec![table(rows)],
    };
    page.write(collected, out.join("report.html"), monitor)?;
    Ok(summary)
}
