//! From a data set to a folder of pictures: for each image its own folder, one line in
//! `manifest.jsonl`, a row on the contact sheet for some, and the raw maps where they are asked for.
//!
//! Images are worked on a few at a time, so memory does not grow with their number, and every
//! finished image is on disk before the next few begin. A broken image costs only itself.

mod base_image;
mod error;
mod kept;
mod listener;
mod manifest;
mod pictures;
mod raw;
mod sheet;
mod style;

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use base_image::BaseImage;
pub use error::GalleryError;
pub use kept::Kept;
pub use listener::{Explained, Listener};
pub use pictures::Picture;
pub(crate) use pictures::file_part;
pub use style::{PictureFormat, PictureStyle};

use crate::data::{Dataset, Sample, Shard};
use crate::explain::{Explainer, Explanation};
use crate::render::{MAX_SHEET_ROWS, save_picture};
use kept::Keeper;
use manifest::Manifest;
use raw::RawWriters;
use sheet::SheetRows;

/// Images worked on together, where each takes few passes. Only memory and progress depend on it:
/// each image is computed alone.
const GROUP: usize = 32;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Save {
    /// Pictures and the contact sheet.
    pub png: bool,
    /// How the pictures look.
    pub style: PictureStyle,
    /// How many images the contact sheet shows, at most.
    pub sheet_rows: usize,
    /// The raw maps, logits and indices as `maps.npz`.
    pub npz: bool,
    /// Whether the maps there are 16-bit floats, each with its scale.
    pub float16: bool,
    /// Every pixel's heat from 0 to 1 at the size of the model's input, as `heat.npz`.
    pub heat: bool,
    /// The tensors behind the maps as `tensors.npz`, and `channels.csv`.
    pub tensors: bool,
    /// Whether every explanation is kept, so that the run can be resumed until [`Kept::discard`] says that it is finished; a
    /// shard always does, for whoever merges it.
    pub resumable: bool,
}

impl Default for Save {
    /// Pictures, and a sheet of some images.
    fn default() -> Self {
        let style = PictureStyle::default();
        Self {
            png: true,
            style,
            sheet_rows: MAX_SHEET_ROWS,
            npz: false,
            float16: false,
            heat: false,
            tensors: false,
            resumable: false,
        }
    }
}

/// Told how far the work is.
pub trait Progress: Sync {
    /// So many images more are done; `false` asks to stop after them.
    fn advance(&self, images: usize) -> bool;
}

/// Where an answer is known, a mask h·w for an item that covers its whole image; drawn as an outline on the sheet.
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

/// What is to be done.
#[derive(Debug)]
pub struct Job<'j> {
    /// What explains.
    pub explainer: &'j Explainer,
    /// The images.
    pub data: &'j dyn Dataset,
    /// Where the results go; the folder exists.
    pub out: &'j Path,
    /// What is written.
    pub save: Save,
    /// Whether all of it is done here.
    pub part: Part,
    /// What is explained already: by the shards that are merged, or by the same job before it was interrupted.
    pub kept: Option<Kept>,
}

/// How much of a run one process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The pictures of some images. What spans all of them is left to whoever merges the shards.
    Shard(Shard),
    /// What spans all images: what the shards found is read instead of computed.
    Merge,
}

impl Job<'_> {
    /// The images that it takes.
    #[must_use]
    pub fn items(&self) -> Vec<usize> {
        let all = 0..self.data.len();
        match &self.part {
            Part::Shard(shard) => all.filter(|&item| shard.holds(item)).collect(),
            Part::Whole | Part::Merge => all.collect(),
        }
    }

    /// Explains the images that were loaded, or remembers how they were explained.
    fn make(
        &mut self,
        items: &[usize],
        samples: &[Sample],
        thumbnails: bool,
    ) -> Result<Vec<Made>, GalleryError> {
        let known = self.kept.as_ref().map_or(0, |kept| kept.known(items.len()));
        let (old, new) = (items.split_at(known), samples.split_at(known));
        let mut made = self.remember(old.0, new.0, thumbnails)?;
        made.extend(self.compute(old.1, new.1, thumbnails)?);
        Ok(made)
    }

    fn remember(
        &mut self,
        items: &[usize],
        samples: &[Sample],
        thumbnails: bool,
    ) -> Result<Vec<Made>, GalleryError> {
        let Some(kept) = &mut self.kept else { return Ok(Vec::new()) };
        let data = self.data;
        let thumbnail =
            |&item: &usize| thumbnails.then(|| Ok(BaseImage::load(data, item)?.thumbnail())).transpose();
        let thumbnails: Vec<_> = items.par_iter().map(thumbnail).collect::<Result<_, GalleryError>>()?;
        let mut remember = |((&item, sample), thumbnail)| {
            let found = kept.next(self.explainer, item, sample)?;
            let written = found.is_in(self.out);
            if !written {
                found.copy_pictures(self.out)?;
            }
            Ok(Made { explanation: found.explanation, line: found.line, written, thumbnail })
        };
        items.iter().zip(samples).zip(thumbnails).map(&mut remember).collect()
    }

    fn compute(
        &self,
        items: &[usize],
        samples: &[Sample],
        thumbnails: bool,
    ) -> Result<Vec<Made>, GalleryError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let Self { explainer, data, .. } = self;
        let explanations = explain(explainer, samples)?;
        let shown = items.par_iter().zip(&explanations);
        let shown = shown.map(|(&item, explanation)| self.show(item, explanation, thumbnails));
        let shown: Vec<_> = shown.collect::<Result<_, GalleryError>>()?;
        let made = |((&item, explanation), shown): ((&usize, Explanation), Shown)| {
            let line = manifest::line(explainer, *data, item, &explanation, &shown.files).to_string();
            Made { explanation, line, written: false, thumbnail: shown.thumbnail }
        };
        Ok(items.iter().zip(explanations).zip(shown).map(made).collect())
    }

    /// Writes an image's folder of pictures where pictures are wanted, and makes its thumbnail where that is. The image is
    /// read once for both.
    fn show(&self, item: usize, explanation: &Explanation, thumbnail: bool) -> Result<Shown, GalleryError> {
        let Self { explainer, data, out, save, .. } = self;
        if !save.png && !thumbnail {
            return Ok(Shown::default());
        }
        let base = BaseImage::load(*data, item)?;
        let thumbnail = thumbnail.then(|| base.thumbnail());
        if !save.png {
            return Ok(Shown { files: Vec::new(), thumbnail });
        }
        let name = data.name(item);
        let folder = out.join(&name);
        fs::create_dir_all(&folder).map_err(GalleryError::writing(&folder))?;
        let mut files = Vec::new();
        for picture in pictures::draw(explainer, &base, explanation, save.style)? {
            save_picture(&picture.image, picture.format, &folder.join(&picture.file))?;
            files.push(format!("{name}/{}", picture.file));
        }
        Ok(Shown { files, thumbnail })
    }

    /// The files that are written as images are done: the manifest, and what is kept of them.
    fn logs(&self) -> Result<(Manifest, Option<Keeper>), GalleryError> {
        let go_on = self.kept.is_some() && self.part != Part::Merge;
        let keeps = matches!(self.part, Part::Shard(_)) || (self.save.resumable && self.part == Part::Whole);
        let keeper = if keeps { Some(Keeper::open(self.out, go_on)?) } else { None };
        Ok((Manifest::open(&self.out.join(manifest::FILE), go_on)?, keeper))
    }
}

/// What was drawn of one image.
#[derive(Default)]
struct Shown {
    /// Its pictures, relative to the folder of all.
    files: Vec<String>,
    thumbnail: Option<BaseImage>,
}

/// What came of one image.
struct Made {
    explanation: Explanation,
    /// In the manifest.
    line: String,
    /// Whether all that is written of it is there already.
    written: bool,
    /// For the contact sheet and the listeners, if there are any.
    thumbnail: Option<BaseImage>,
}

/// Explains every item of the job's data and writes the results. `listeners` are told of each image, in order.
///
/// # Errors
/// If something cannot be written or the data do not fit the model. Unreadable images are not an
/// error: they are listed in the summary.
pub fn write_gallery(
    mut job: Job<'_>,
    truth: Option<&Truth<'_>>,
    listeners: &mut [&mut dyn Listener],
    progress: &dyn Progress,
) -> Result<Summary, GalleryError> {
    let Job { explainer, data, out, save, .. } = job;
    let is_shard = matches!(job.part, Part::Shard(_));
    let (mut manifest, mut keeper) = job.logs()?;
    let spanning =
        if is_shard { Save { npz: false, heat: false, tensors: false, sheet_rows: 0, ..save } } else { save };
    let mut raw = RawWriters::create(out, spanning)?;
    let mut rows = SheetRows::new(explainer, spanning.sheet_rows, save.style);
    let mut summary = Summary::default();
    let thumbnails = !listeners.is_empty() || (save.png && spanning.sheet_rows > 0);
    let (group, all) = (if explainer.takes_passes() { 1 } else { GROUP }, job.items());
    let mut begun = 0;
    for items in all.chunks(group) {
        let (good, samples) = load(data, items, &mut summary);
        let made = job.make(&good, &samples, thumbnails)?;
        for ((&item, sample), made) in good.iter().zip(&samples).zip(&made) {
            let explanation = &made.explanation;
            if !made.written {
                manifest.push(&made.line);
                keeper.as_mut().map_or(Ok(()), |keeper| keeper.keep(item, sample, explanation))?;
            }
            raw.push(explainer, data, item, explanation)?;
            if let Some(thumbnail) = &made.thumbnail {
                let truth = truth.and_then(|t| t(item));
                let seen = Explained { explainer, data, item, sample, thumbnail, explanation, truth };
                if save.png {
                    rows.push(&seen)?;
                }
                listeners.iter_mut().try_for_each(|listener| listener.explained(&seen))?;
            }
            summary.add(explainer, data.label(item), explanation);
        }
        // In this order, so that what has a line is kept.
        keeper.as_mut().map_or(Ok(()), Keeper::flush)?;
        manifest.flush()?;
        begun += items.len();
        if !progress.advance(items.len()) {
            summary.stopped = begun < all.len();
            break;
        }
    }
    raw.finish()?;
    summary.sheet = rows.save(explainer, out, all.len())?;
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
