//! Image on which a map is drawn.

use image::RgbImage;

use crate::data::{DataError, Dataset, MemoryReservation, Original};
use crate::render::{CropTransform, PictureSize, fitted, scaled, size_of};

/// Maximum length, in pixels, of a thumbnail's longer side.
const THUMBNAIL_SIDE: usize = 320;

/// An image in its original colours and shape, with the part of it that the model sees.
#[derive(Clone, Debug)]
pub struct BaseImage {
    /// The image.
    pub picture: RgbImage,
    /// Part of the image that the model sees.
    pub view: CropTransform,
    /// True if the image was stored with lossy compression.
    pub lossy: bool,
    /// Memory reserved for a large image and its drawings. Copies of it are small in comparison.
    room: Option<MemoryReservation>,
}

impl BaseImage {
    /// Reads an item at its original size.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn load(data: &dyn Dataset, item: usize) -> Result<Self, DataError> {
        Ok(Self::of(data.original(item)?, data))
    }

    /// Returns an image that was read from the data set.
    #[must_use]
    pub fn of(Original { picture, lossy, room }: Original, data: &dyn Dataset) -> Self {
        let model = data.preprocessing();
        let view = CropTransform::new(size_of(&picture), [model.height, model.width], model.resize);
        Self { picture, view, lossy, room }
    }

    /// Returns the image at the size of the pictures drawn of it.
    #[must_use]
    pub fn sized(&self, size: PictureSize) -> Self {
        self.scaled(size.of(self.view.original))
    }

    /// Returns the image with at most 320 pixels per side, for contact sheet and report. Smaller images are not
    /// enlarged.
    #[must_use]
    pub fn thumbnail(&self) -> Self {
        let size = self.view.original;
        let small = size[0].max(size[1]) <= THUMBNAIL_SIDE;
        let thumbnail = if small { self.clone() } else { self.scaled(fitted(size, THUMBNAIL_SIDE)) };
        Self { room: None, ..thumbnail }
    }

    fn scaled(&self, size: [usize; 2]) -> Self {
        let (picture, view) = (scaled(&self.picture, size), self.view.scaled(size));
        Self { picture, view, lossy: self.lossy, room: self.room.clone() }
    }
}
