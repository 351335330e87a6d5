//! Drawing of maps.

use image::RgbImage;

use crate::explain::Attribution;
use crate::method::MapKind;
use crate::render::{
    CropTransform, HeatStyle, Map, concepts, gradient_picture, heatmap, overlay, reason_picture,
};

impl Attribution {
    /// Returns the text shown instead of a map that cannot be drawn.
    #[must_use]
    pub fn reason(&self) -> String {
        self.zero.map_or_else(|| "nothing to show".to_owned(), |zero| zero.to_string())
    }

    /// Draws the map alone, at the size of the view. `RedBlue` shows both signs.
    #[must_use]
    pub fn draw(&self, view: &CropTransform, style: HeatStyle) -> RgbImage {
        heatmap(&self.drawable(), view, style, &self.reason())
    }

    /// Draws the map over a picture of the view's size. Each concept of a concept map has its own colour.
    /// The box or the pixels whose score is explained are outlined.
    #[must_use]
    pub fn draw_over(&self, picture: &RgbImage, view: &CropTransform, style: HeatStyle) -> RgbImage {
        let mut drawn = match (self.method.kind, self.shape.as_slice()) {
            (MapKind::Concepts, &[_, h, w]) => concepts(&self.values, [h, w], &self.placement, picture, view),
            _ => overlay(&self.drawable(), picture, view, style, &self.reason()),
        };
        if let Some(focus) = &self.focus {
            focus.outline(&mut drawn, view);
        }
        drawn
    }

    /// Draws maps that are not heat maps: a pixel map around mid-grey, or concepts over `picture`. Returns `None` for
    /// layer maps.
    #[must_use]
    pub fn draw_whole(&self, picture: &RgbImage, view: &CropTransform) -> Option<RgbImage> {
        match (self.method.kind, self.shape.as_slice()) {
            (MapKind::Layer, _) => None,
            (MapKind::Concepts, _) => Some(self.draw_over(picture, view, HeatStyle::POSITIVE)),
            (MapKind::Input, &[c, h, w]) => {
                let (width, height) = picture.dimensions();
                let drawn = gradient_picture(&self.values, [c, h, w], view, &self.reason());
                // Only values that are not finite cannot be drawn, as the reason says.
                Some(drawn.unwrap_or_else(|_| reason_picture(width, height, &self.reason())))
            }
            (MapKind::Input, _) => Some(self.draw(view, HeatStyle::POSITIVE)),
        }
    }

    /// Returns the map as a single plane, empty if it cannot be drawn.
    fn drawable(&self) -> Map {
        self.plane().unwrap_or_else(Map::nothing)
    }
}
