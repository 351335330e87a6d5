//! How the pictures of a run look, and how they are stored.

use serde::{Deserialize, Serialize};

use crate::render::{Colormap, FileFormat, HeatStyle, PictureSize};

/// How the pictures of a run look, and how they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureStyle {
    /// The size of all pictures of an image.
    pub size: PictureSize,
    /// The colours of heat; evidence of both signs is always red and blue.
    pub colormap: Colormap,
    /// How much of the image strong heat covers in an overlay, 0 to 1.
    pub opacity: f32,
    /// Whether heat maps and overlays stand over a bar that says what their colours mean. It makes them taller than the
    /// image.
    pub color_bar: bool,
    /// How pictures are stored.
    pub format: PictureFormat,
}

/// How pictures are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureFormat {
    /// The pictures of a JPEG as JPEG, since it has lost its last digits already; all others as PNG. Heat maps are
    /// always PNG: of few colours, they are smaller so.
    #[default]
    Auto,
    /// All as PNG.
    Png,
    /// All but heat maps as JPEG.
    Jpeg,
}

impl PictureFormat {
    /// The format of a picture that has the look of a photograph, of an image that was stored with or without losses.
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
    /// Pictures of the image's own size, heat in inferno, with bars.
    fn default() -> Self {
        let HeatStyle { colormap, opacity } = HeatStyle::POSITIVE;
        let (size, format) = (PictureSize::Auto, PictureFormat::Auto);
        Self { size, colormap, opacity, color_bar: true, format }
    }
}

impl PictureStyle {
    /// How evidence for a class is drawn.
    #[must_use]
    pub fn heat(self) -> HeatStyle {
        HeatStyle { colormap: self.colormap, opacity: self.opacity }
    }
}
