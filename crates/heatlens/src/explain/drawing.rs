//! Maps as pictures of the image they explain.

use image::RgbImage;

use crate::explain::Attribution;
use crate::method::MapKind;
use crate::render::{HeatStyle, Map, View, concepts, gradient_picture, heatmap, overlay, reason_picture};

impl Attribution {
    /// The words that stand where there is nothing to draw.
    #[must_use]
    pub fn reason(&self) -> String {
        self.zero.map_or_else(|| "nothing to show".to_owned(), |zero| zero.to_string())
    }

    /// The map alone on a picture of the view's size, in these colours; `RedBlue` shows both signs.
    #[must_use]
    pub fn draw(&self, view: &View, style: HeatStyle) -> RgbImage {
        heatmap(&self.drawable(), view, style, &self.reason())
    }

    /// The map over a picture of the view's size. Each pattern of a map of several has a colour of its own.
    /// The box or the pixels whose score is explained are outlined.
    #[must_use]
    pub fn draw_over(&self, picture: &RgbImage, view: &View, style: HeatStyle) -> RgbImage {
        let mut drawn = match (self.method.kind, self.shape.as_slice()) {
            (MapKind::Concepts, &[_, h, w]) => concepts(&self.values, [h, w], &self.placement, picture, view),
            _ => overlay(&self.drawable(), picture, view, style, &self.reason()),
        };
        if let Some(focus) = &self.focus {
            focus.outline(&mut drawn, view);
        }
        drawn
    }

    /// The one picture of a map that has no heat to lay over an image: a map of pixels around mid-grey, or several
    /// patterns over `picture`. `None` for a layer's map.
    #[must_use]
    pub fn draw_whole(&self, picture: &RgbImage, view: &View) -> Option<RgbImage> {
        match (self.method.kind, self.shape.as_slice()) {
            (MapKind::Layer, _) => None,
            (MapKind::Concepts, _) => Some(self.draw_over(picture, view, HeatStyle::POSITIVE)),
            (MapKind::Input, &[c, h, w]) => {
                let (width, height) = picture.dimensions();
                let drawn = gradient_picture(&self.values, [c, h, w], view, &self.reason());
                // Only values that are not finite cannot be drawn; the reason says so.
                Some(drawn.unwrap_or_else(|_| reason_picture(width, height, &self.reason())))
            }
            (MapKind::Input, _) => Some(self.draw(view, HeatStyle::POSITIVE)),
        }
    }

    /// The map as one plane, of nothing where it cannot be drawn.
    fn drawable(&self) -> Map {
        self.plane().unwrap_or_else(Map::nothing)
    }
}
