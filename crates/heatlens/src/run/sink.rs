//! Where explained images go.

use crate::data::Dataset;
use crate::explain::{Explainer, Explanation};
use crate::run::{BaseImage, ExplainedImage, RunError};

/// Takes every explained image once, in the order of the data.
pub trait Sink: Send + Sync {
    /// Returns true if the sink needs the image as it is on disk.
    fn wants_picture(&self) -> bool {
        false
    }

    /// Draws what does not depend on other images; images are drawn side by side, before [`write`](Self::write). Returns the
    /// files written, relative to the run's folder.
    ///
    /// # Errors
    /// If something cannot be drawn or written; that ends the run.
    fn draw(&self, image: &NewImage<'_>) -> Result<Vec<String>, RunError> {
        let _ = image;
        Ok(Vec::new())
    }

    /// Takes the next image.
    ///
    /// # Errors
    /// If something cannot be written; that ends the run.
    fn write(&mut self, image: &ExplainedImage<'_>) -> Result<(), RunError>;

    /// Takes the next few images; sinks that make something of each alone may do so side by side.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn write_all(&mut self, images: &[ExplainedImage<'_>]) -> Result<(), RunError> {
        images.iter().try_for_each(|image| self.write(image))
    }

    /// Puts on disk what was taken so far. Sinks commit one after the other in the order of their list, so that what the last
    /// one holds is safe in all.
    ///
    /// # Errors
    /// If it cannot be written.
    fn commit(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}

/// An image that was explained just now, not read from a cache.
#[derive(Debug)]
pub struct NewImage<'a> {
    /// What explained it.
    pub explainer: &'a Explainer,
    /// Where it comes from.
    pub data: &'a dyn Dataset,
    /// Its number there.
    pub item: usize,
    /// The logits and maps.
    pub explanation: &'a Explanation,
    /// The image as it is on disk, where a sink [wants](Sink::wants_picture) it.
    pub base: Option<&'a BaseImage>,
}
