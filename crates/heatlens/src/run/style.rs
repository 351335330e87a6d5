//! Appearance and file format of a run's pictures.

use serde::{Deserialize, Serialize};

use crate::render::{Colormap, FileFormat, HeatStyle, PictureSize};

/// Appearance and file format of a run's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureStyle {
    /// Size of all pictures of an image.
    pub size: PictureSize,
    /// Colour map of heat; signed evidence is always red and blue.
    pub colormap: Colormap,
    /// Opacity of strong heat in an overlay, 0 to 1.
    pub opacity: f32,
    /// True if heat maps and overlays have a colour bar below them, which makes them taller than the image.
    pub color_bar: bool,
    /// File format of the pictures.
    pub format: PictureFormat,
}

/// File format of the pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureFormat {
    /// JPEG for pictures of a JPEG, which is lossy already; PNG for all others. Heat maps are always PNG, which is
    /// smaller for pictures with few colours.
    #[default]
    Auto,
    /// PNG for all pictures.
    Png,
    /// JPEG for all pictures except heat maps.
    Jpeg,
}

impl PictureFormat {
    /// Returns the format of a photograph-like picture, given whether its image was stored with lossy compression.
    #[must_use]
    pub fn of_photograph(self, lossy: bool) -> FileFormat {
        match self {
            Self::Auto if lossy => FileFormat::Jpeg,
            Self::Auto | Self::Png => FileFormat::Png,
            Self::Jpeg => FileFormat::Jpeg,
        }
    }
}

impl Default for PictureStyle {
    /// Returns a style with pictures at the image's size, heat in inferno, and colour bars.
    fn default() -> Self {
        let HeatStyle { colormap, opacity } = HeatStyle::POSITIVE;
        let (size, format) = (PictureSize::Auto, PictureFormat::Auto);
        Self { size, colormap, opacity, color_bar: true, format }
    }
}

impl PictureStyle {
    /// Returns the style of evidence for a class.
    #[must_use]
    pub fn heat(self) -> HeatStyle {
        HeatStyle { colormap: self.colormap, opacity: self.opacity }
    }
}
