//! Processing of images: load, explain or read from the cache, pass to every sink, commit.
//!
//! Images are processed in groups, so memory does not grow with their number, and each group is on disk before the next
//! one begins. An unreadable image does not affect the others.

use std::fmt;
use std::path::Path;

use rayon::prelude::*;

use crate::data::{Dataset, Sample};
use crate::explain::{Explainer, ImageAttributions};
use crate::localise::Mask;
use crate::predict::Batch;
use crate::run::cache::CacheReader;
use crate::run::sinks::manifest;
use crate::run::{BaseImage, ExplainedImage, Monitor, NewImage, RunError, Sink, Summary};

/// Number of images processed together if each takes few passes. It affects memory and progress only: each image is
/// computed independently.
const GROUP: usize = 32;

/// Ground truth of an item, as a mask that covers its whole image.
pub type TrueMask<'t> = dyn Fn(usize) -> Option<Mask> + Sync + 't;

/// Loop over the images of a run.
pub struct Pipeline<'p> {
    /// Explainer that computes the maps.
    pub explainer: &'p Explainer,
    /// Data set of the images.
    pub data: &'p dyn Dataset,
    /// Numbers of the images to process, in order.
    pub items: Vec<usize>,
    /// Folder of the run.
    pub out: &'p Path,
    /// Ground truth, if known.
    pub truth: Option<&'p TrueMask<'p>>,
    /// Cached explanations, from shards or from the interrupted run.
    pub cache: Option<CacheReader>,
}

impl fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("items", &self.items).field("out", &self.out).finish_non_exhaustive()
    }
}

/// Results for one image before they are passed to the sinks.
struct Made {
    explanation: ImageAttributions,
    thumbnail: Option<BaseImage>,
    files: Vec<String>,
    line: String,
    written: bool,
}

impl<'p> Pipeline<'p> {
    /// Creates a pipeline for all images of a data set, in order.
    #[must_use]
    pub fn new(explainer: &'p Explainer, data: &'p dyn Dataset, out: &'p Path) -> Self {
        Self { explainer, data, items: (0..data.len()).collect(), out, truth: None, cache: None }
    }

    /// Explains the images and passes each to every sink, in the order of the sinks.
    ///
    /// # Errors
    /// If something cannot be written or the images do not fit the model. Images that cannot be read are not an error;
    /// the summary lists them.
    pub fn run(mut self, sinks: &mut [&mut dyn Sink], monitor: &dyn Monitor) -> Result<Summary, RunError> {
        let mut summary = Summary::default();
        let group = if self.explainer.takes_passes() { 1 } else { GROUP };
        let all = std::mem::take(&mut self.items);
        monitor.begin(all.len(), "images");
        let mut begun = 0;
        for items in all.chunks(group) {
            let Batch { items: good, samples, broken } = Batch::read(self.data, items);
            let told = broken.iter().map(|(item, reason)| (self.data.source(*item), reason.to_string()));
            summary.broken.extend(told);
            let made = match self.make(&good, &samples, sinks, monitor) {
                Err(RunError::Interrupted) => {
                    summary.stopped = true;
                    break;
                }
                made => made?,
            };
            self.hand_out(&good, &samples, &made, sinks)?;
            for (&item, made) in good.iter().zip(&made) {
                summary.add(self.explainer, self.data.label(item), &made.explanation);
            }
            sinks.iter_mut().try_for_each(|sink| sink.commit())?;
            begun += items.len();
            if !monitor.advance(items.len()) {
                summary.stopped = begun < all.len();
                break;
            }
        }
        monitor.end();
        Ok(summary)
    }

    /// Explains loaded images, or reads their explanations from the cache.
    fn make(
        &mut self,
        items: &[usize],
        samples: &[Sample],
        sinks: &[&mut dyn Sink],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Made>, RunError> {
        let known = self.cache.as_ref().map_or(0, |cache| cache.known(items.len()));
        let (old, new) = (items.split_at(known), samples.split_at(known));
        let mut made = self.remember(old.0, new.0, sinks)?;
        made.extend(self.compute(old.1, new.1, sinks, monitor)?);
        Ok(made)
    }

    fn remember(
        &mut self,
        items: &[usize],
        samples: &[Sample],
        sinks: &[&mut dyn Sink],
    ) -> Result<Vec<Made>, RunError> {
        let (data, wanted) = (self.data, wants_picture(sinks));
        let Some(cache) = &mut self.cache else { return Ok(Vec::new()) };
        let thumbnail = |&item: &usize| match wanted {
            true => Ok(Some(BaseImage::load(data, item)?.thumbnail())),
            false => Ok(None),
        };
        let thumbnails: Vec<_> = items.par_iter().map(thumbnail).collect::<Result<_, RunError>>()?;
        let mut remember = |((&item, sample), thumbnail)| {
            let found = cache.next(self.explainer, item, sample)?;
            let written = found.is_in(self.out);
            if !written {
                found.copy_pictures(self.out)?;
            }
            let (explanation, files, line) = (found.explanation, found.files, found.line);
            Ok(Made { explanation, thumbnail, files, line, written })
        };
        items.iter().zip(samples).zip(thumbnails).map(&mut remember).collect()
    }

    fn compute(
        &self,
        items: &[usize],
        samples: &[Sample],
        sinks: &[&mut dyn Sink],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Made>, RunError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let pixels: Vec<f32> = samples.iter().flat_map(|s| &s.pixels).copied().collect();
        let stop = || monitor.is_stopped();
        let explanations = self.explainer.explain_until(&pixels, samples.len(), &stop)?;
        let made = items.par_iter().zip(explanations);
        made.map(|(&item, explanation)| self.draw(item, explanation, sinks)).collect()
    }

    /// Passes a new image to the sinks for drawing. The image is read once for all of them.
    fn draw(
        &self,
        item: usize,
        explanation: ImageAttributions,
        sinks: &[&mut dyn Sink],
    ) -> Result<Made, RunError> {
        let Self { explainer, data, .. } = *self;
        let base = wants_picture(sinks).then(|| BaseImage::load(data, item)).transpose()?;
        let image = NewImage { explainer, data, item, explanation: &explanation, base: base.as_ref() };
        let mut files = Vec::new();
        for sink in sinks {
            files.extend(sink.draw(&image)?);
        }
        let line = manifest::line(&image, &files);
        let thumbnail = base.as_ref().map(BaseImage::thumbnail);
        Ok(Made { explanation, thumbnail, files, line, written: false })
    }

    fn hand_out(
        &self,
        items: &[usize],
        samples: &[Sample],
        made: &[Made],
        sinks: &mut [&mut dyn Sink],
    ) -> Result<(), RunError> {
        let truths: Vec<Option<Mask>> =
            items.iter().map(|&item| self.truth.and_then(|truth| truth(item))).collect();
        let all = items.iter().zip(samples).zip(made).zip(&truths);
        let images: Vec<ExplainedImage<'_>> = all
            .map(|(((&item, sample), made), truth)| ExplainedImage {
                explainer: self.explainer,
                data: self.data,
                item,
                sample,
                explanation: &made.explanation,
                thumbnail: made.thumbnail.as_ref(),
                truth: truth.as_ref(),
                files: &made.files,
                line: &made.line,
                written: made.written,
            })
            .collect();
        sinks.iter_mut().try_for_each(|sink| sink.write_all(&images))
    }
}

fn wants_picture(sinks: &[&mut dyn Sink]) -> bool {
    sinks.iter().any(|sink| sink.wants_picture())
}
