//! From a data set to a folder of pictures: for each image its own folder, one line in
//! `manifest.jsonl`, a row on the contact sheet, and the raw maps where they are asked for.
//!
//! Images are worked on a few at a time, so memory does not grow with their number, and every
//! finished image is on disk before the next few begin. A broken image costs only itself.

mod error;
mod listener;
mod manifest;
mod pictures;
mod raw;
mod sheet;

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use error::GalleryError;
pub use listener::{Explained, Listener};
pub use pictures::Picture;
pub(crate) use pictures::file_part;

use crate::data::{Dataset, Sample};
use crate::explain::{Explainer, Explanation};
use crate::render::MAX_SHEET_ROWS;
use manifest::Manifest;
use raw::RawWriters;
use sheet::SheetRows;

/// Images worked on together, where each takes few passes. Only memory and progress depend on it:
/// each image is computed alone.
const GROUP: usize = 32;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Save {
    /// Pictures and the contact sheet.
    pub png: bool,
    /// How many images the contact sheet shows, the first ones.
    pub sheet_rows: usize,
    /// The raw maps, logits and indices as `maps.npz`.
    pub npz: bool,
    /// The tensors behind the maps as `tensors.npz`, and `channels.csv`.
    pub tensors: bool,
}

impl Default for Save {
    /// Pictures, and a sheet of the first images.
    fn default() -> Self {
        Self { png: true, sheet_rows: MAX_SHEET_ROWS, npz: false, tensors: false }
    }
}

/// Told how far the work is.
pub trait Progress: Sync {
    /// So many images more are done; `false` asks to stop after them.
    fn advance(&self, images: usize) -> bool;
}

/// Where an answer is known, a mask h·w for an item; drawn as an outline on the sheet.
pub type Truth<'t> = dyn Fn(usize) -> Option<(usize, usize, Vec<bool>)> + Sync + 't;

/// What came of it.
#[derive(Debug, Default)]
pub struct Summary {
    /// Images explained.
    pub done: usize,
    /// Images that could not be read: where they come from, and why.
    pub broken: Vec<(String, String)>,
    /// The contact sheet, if one was drawn.
    pub sheet: Option<PathBuf>,
    /// Whether the work was stopped early.
    pub stopped: bool,
    /// Logits of every explained image, in order.
    pub logits: Vec<Vec<f32>>,
    /// Known classes of the explained images, in order.
    pub labels: Vec<Option<usize>>,
    /// How many images had no positive evidence, by map name and reason.
    pub empty_maps: Vec<(String, usize)>,
}

/// Explains every item of `data` and writes the results into `out`, which exists. `listeners` are told of each image,
/// in order.
///
/// # Errors
/// If something cannot be written or the data do not fit the model. Unreadable images are not an
/// error: they are listed in the summary.
pub fn write_gallery(
    explainer: &Explainer,
    data: &dyn Dataset,
    out: &Path,
    save: Save,
    truth: Option<&Truth<'_>>,
    listeners: &mut [&mut dyn Listener],
    progress: &dyn Progress,
) -> Result<Summary, GalleryError> {
    let mut manifest = Manifest::create(&out.join("manifest.jsonl"))?;
    let mut raw = RawWriters::create(out, save)?;
    let mut rows = SheetRows::new(explainer, save.sheet_rows);
    let mut summary = Summary::default();
    let group = if explainer.takes_passes() { 1 } else { GROUP };
    for start in (0..data.len()).step_by(group) {
        let items: Vec<usize> = (start..data.len().min(start + group)).collect();
        let (good, samples) = load(data, &items, &mut summary);
        let explanations = explain(explainer, &samples)?;
        let files = write_pictures(explainer, data, out, save, &good, &samples, &explanations)?;
        for (i, &item) in good.iter().enumerate() {
            let line = manifest::line(explainer, data, item, &explanations[i], &files[i]);
            manifest.push(&line);
            raw.push(explainer, data, item, &explanations[i])?;
            if save.png {
                rows.push(explainer, data, item, &samples[i], &explanations[i], truth)?;
            }
            let seen = Explained {
                explainer,
                data,
                item,
                sample: &samples[i],
                explanation: &explanations[i],
                truth: truth.and_then(|t| t(item)),
            };
            listeners.iter_mut().try_for_each(|listener| listener.explained(&seen))?;
            summary.add(explainer, data.label(item), &explanations[i]);
        }
        manifest.flush()?;
        if !progress.advance(items.len()) {
            summary.stopped = start + items.len() < data.len();
            break;
        }
    }
    raw.finish()?;
    summary.sheet = rows.save(explainer, out, data.len())?;
    Ok(summary)
}

/// Loads items side by side; what cannot be read goes to the summary.
fn load(data: &dyn Dataset, items: &[usize], summary: &mut Summary) -> (Vec<usize>, Vec<Sample>) {
    let loaded: Vec<_> = items.par_iter().map(|&item| (item, data.load(item))).collect();
    let mut good = Vec::new();
    let mut samples = Vec::new();
    for (item, sample) in loaded {
        match sample {
            Ok(sample) => {
                good.push(item);
                samples.push(sample);
            }
            Err(reason) => summary.broken.push((data.source(item), reason.to_string())),
        }
    }
    (good, samples)
}

fn explain(explainer: &Explainer, samples: &[Sample]) -> Result<Vec<Explanation>, GalleryError> {
    let pixels: Vec<f32> = samples.iter().flat_map(|s| &s.pixels).copied().collect();
    Ok(explainer.explain(&pixels, samples.len())?)
}

/// Writes each image's folder; returns the files' names, relative to `out`.
fn write_pictures(
    explainer: &Explainer,
    data: &dyn Dataset,
    out: &Path,
    save: Save,
    items: &[usize],
    samples: &[Sample],
    explanations: &[Explanation],
) -> Result<Vec<Vec<String>>, GalleryError> {
    if !save.png {
        return Ok(vec![Vec::new(); items.len()]);
    }
    let one = |i: usize| {
        let name = data.name(items[i]);
        let folder = out.join(&name);
        fs::create_dir_all(&folder).map_err(GalleryError::writing(&folder))?;
        let pictures = pictures::draw(explainer, &samples[i], &explanations[i])?;
        for picture in &pictures {
            crate::render::save_png(&picture.image, &folder.join(&picture.file))?;
        }
        Ok(pictures.into_iter().map(|p| format!("{name}/{}", p.file)).collect())
    };
    (0..items.len()).into_par_iter().map(one).collect()
}

impl Summary {
    fn add(&mut self, explainer: &Explainer, label: Option<usize>, explanation: &Explanation) {
        self.done += 1;
        self.labels.push(label);
        self.logits.push(explanation.logits.clone());
        for (spec, attribution) in explainer.maps().iter().zip(&explanation.attributions) {
            if let Some(reason) = attribution.zero {
                let what = format!("{}: {reason}", spec.name(explainer.model()));
                match self.empty_maps.iter_mut().find(|(known, _)| *known == what) {
                    Some((_, count)) => *count += 1,
                    None => self.empty_maps.push((what, 1)),
                }
            }
        }
    }
}
