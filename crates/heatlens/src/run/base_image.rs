//! The image under a map.

use image::RgbImage;

use crate::data::{DataError, Dataset, Original, Room};
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
    /// The memory that it and its pictures take, where that is much. Copies count for little beside it.
    room: Option<Room>,
}

impl BaseImage {
    /// Reads an item at its own size.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn load(data: &dyn Dataset, item: usize) -> Result<Self, DataError> {
        let Original { picture, lossy, room } = data.original(item)?;
        let model = data.preprocessing();
        let view = View::new(size_of(&picture), [model.height, model.width], model.resize);
        Ok(Self { picture, view, lossy, room })
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
        let small = size[0].max(size[1]) <= THUMBNAIL_SIDE;
        let thumbnail = if small { self.clone() } else { self.scaled(fitted(size, THUMBNAIL_SIDE)) };
        Self { room: None, ..thumbnail }
    }

    fn scaled(&self, size: [usize; 2]) -> Self {
        let (picture, view) = (scaled(&self.picture, size), self.view.scaled(size));
        Self { picture, view, lossy: self.lossy, room: self.room.clone() }
    }
}
