//! Receivers of explained images.

use crate::data::Dataset;
use crate::explain::{Explainer, ImageAttributions};
use crate::run::{BaseImage, ExplainedImage, RunError};

/// Receiver of every explained image, once each and in the order of the data.
pub trait Sink: Send + Sync {
    /// Returns true if the sink needs the image as stored on disk.
    fn wants_picture(&self) -> bool {
        false
    }

    /// Draws pictures that do not depend on other images. Images are drawn in parallel, before [`write`](Self::write).
    /// Returns the files written, relative to the run's folder.
    ///
    /// # Errors
    /// If something cannot be drawn or written; this ends the run.
    fn draw(&self, image: &NewImage<'_>) -> Result<Vec<String>, RunError> {
        let _ = image;
        Ok(Vec::new())
    }

    /// Receives the next image.
    ///
    /// # Errors
    /// If something cannot be written; this ends the run.
    fn write(&mut self, image: &ExplainedImage<'_>) -> Result<(), RunError>;

    /// Receives the next few images. Sinks that process each image independently may do so in parallel.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    fn write_all(&mut self, images: &[ExplainedImage<'_>]) -> Result<(), RunError> {
        images.iter().try_for_each(|image| self.write(image))
    }

    /// Flushes everything received so far to disk. Sinks are committed in the order of their list, so everything that
    /// the last one has committed is safe in all of them.
    ///
    /// # Errors
    /// If writing fails.
    fn commit(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}

/// A newly explained image, not one read from the cache.
#[derive(Debug)]
pub struct NewImage<'a> {
    /// Explainer that computed the maps.
    pub explainer: &'a Explainer,
    /// Data set of the image.
    pub data: &'a dyn Dataset,
    /// Number of the image in the data set.
    pub item: usize,
    /// Logits and maps.
    pub explanation: &'a ImageAttributions,
    /// The image as stored on disk, if a sink [wants](Sink::wants_picture) it.
    pub base: Option<&'a BaseImage>,
}
