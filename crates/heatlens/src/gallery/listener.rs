//! Others who want to see each image as it is explained: what is written beside the pictures.

use crate::data::{Dataset, Sample};
use crate::explain::{Explainer, Explanation};
use crate::gallery::{BaseImage, GalleryError};

/// One explained image.
#[derive(Debug)]
pub struct Explained<'a> {
    /// What explained it.
    pub explainer: &'a Explainer,
    /// Where it comes from.
    pub data: &'a dyn Dataset,
    /// Its number there.
    pub item: usize,
    /// Its pixels.
    pub sample: &'a Sample,
    /// The image itself, as a [thumbnail](BaseImage::thumbnail).
    pub thumbnail: &'a BaseImage,
    /// What came out.
    pub explanation: &'a Explanation,
    /// The answer where it is known: a mask of height × width that covers the whole image.
    pub truth: Option<(usize, usize, Vec<bool>)>,
}

impl Explained<'_> {
    /// The image's class, where it is known.
    #[must_use]
    pub fn label(&self) -> Option<usize> {
        self.data.label(self.item)
    }

    /// The title of a map, with layer and class where there are several.
    #[must_use]
    pub fn map_title(&self, at: usize) -> String {
        self.explainer.maps().get(at).map_or(String::new(), |spec| spec.title(self.explainer.model()))
    }

    /// The name of a class.
    #[must_use]
    pub fn class_name(&self, class: usize) -> String {
        let names = &self.explainer.model().class_names;
        names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

/// Sees every explained image once, in the order of the data.
pub trait Listener {
    /// Takes what it needs of an image.
    ///
    /// # Errors
    /// If it cannot write what it makes of the image; that ends the work.
    fn explained(&mut self, image: &Explained<'_>) -> Result<(), GalleryError>;
}
