//! The image under a map.

use image::RgbImage;

use crate::data::{DataError, Dataset, Original};
use crate::render::{PictureSize, View, fitted, scaled, size_of};

/// The longer side of a thumbnail, at most.
const THUMBNAIL_SIDE: usize = 320;

/// An image in its own colours and shape, and where on it lies what the model sees.
#[derive(Clone, Debug)]
pub struct BaseImage {
    /// The image.
    pub picture: RgbImage,
    /// What the model sees of it.
    pub view: View,
    /// Whether it was stored with losses.
    pub lossy: bool,
}

impl BaseImage {
    /// Reads an item at its own size.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn load(data: &dyn Dataset, item: usize) -> Result<Self, DataError> {
        let Original { picture, lossy } = data.original(item)?;
        let model = data.preprocessing();
        let view = View::new(size_of(&picture), [model.height, model.width], model.resize);
        Ok(Self { picture, view, lossy })
    }

    /// The same image at the size that pictures of it have.
    #[must_use]
    pub fn sized(&self, size: PictureSize) -> Self {
        self.scaled(size.of(self.view.original))
    }

    /// The image at 320 pixels at most, for contact sheet and report: small ones keep their pixels.
    #[must_use]
    pub fn thumbnail(&self) -> Self {
        let size = self.view.original;
        if size[0].max(size[1]) <= THUMBNAIL_SIDE {
            self.clone()
        } else {
            self.scaled(fitted(size, THUMBNAIL_SIDE))
        }
    }

    fn scaled(&self, size: [usize; 2]) -> Self {
        Self { picture: scaled(&self.picture, size), view: self.view.scaled(size), lossy: self.lossy }
    }
}
