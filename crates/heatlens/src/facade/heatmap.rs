//! A heat map with the image that it explains.

use crate::explain::{Attribution, ZeroMap};
use crate::facade::{Drawing, Explanation};
use crate::method::{MapKind, Method};
use crate::model::Layer;
use crate::render::{
    HeatStyle, Map, PictureSize, concepts, gradient_picture, heatmap, overlay, reason_picture, scaled,
    size_of,
};

/// A method's result for an image, for one layer and class.
#[derive(Clone, Copy, Debug)]
pub struct Heatmap<'e> {
    explanation: &'e Explanation,
    raw: &'e Attribution,
    name: &'e str,
}

impl<'e> Heatmap<'e> {
    pub(super) fn new(explanation: &'e Explanation, at: usize) -> Option<Self> {
        let raw = explanation.found.attributions.get(at)?;
        Some(Self { explanation, raw, name: explanation.names.maps.get(at)? })
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'static Method {
        self.raw.method
    }

    /// The layer, for methods that use one.
    #[must_use]
    pub fn layer(&self) -> Option<&'e Layer> {
        self.raw.layer.as_ref()
    }

    /// The number of the class whose score is explained.
    #[must_use]
    pub fn class(&self) -> usize {
        self.raw.class
    }

    /// The name of that class.
    #[must_use]
    pub fn class_name(&self) -> &'e str {
        self.explanation.names.class(self.raw.class)
    }

    /// The name of the map, as in the command line's files: the method's id, with `@layer` and `#class` where there are
    /// several.
    #[must_use]
    pub fn name(&self) -> &'e str {
        self.name
    }

    /// The map as computed: its `shape`, and its signed `values`.
    #[must_use]
    pub fn raw(&self) -> &'e Attribution {
        self.raw
    }

    /// The smallest raw value.
    #[must_use]
    pub fn min(&self) -> f32 {
        self.raw.raw_min
    }

    /// The largest raw value.
    #[must_use]
    pub fn max(&self) -> f32 {
        self.raw.raw_max
    }

    /// Why there is nothing to draw, if there is nothing.
    #[must_use]
    pub fn why_empty(&self) -> Option<ZeroMap> {
        self.raw.zero
    }

    /// The heat of every pixel of the image, from 0 to 1: 1 is the largest heat of the map, 0 where there is none or the
    /// model did not look. `None` for maps of several patterns, and where there is nothing to draw.
    #[must_use]
    pub fn heat(&self) -> Option<Map> {
        Some(self.explanation.view.project(&self.raw.heat()?.positive()?))
    }

    /// The image with the heat over it, in the image's own size.
    #[must_use]
    pub fn overlay(&self) -> Drawing {
        self.overlay_with(HeatStyle::POSITIVE, PictureSize::Original)
    }

    /// The image with the heat over it, in these colours and this size.
    #[must_use]
    pub fn overlay_with(&self, style: HeatStyle, size: PictureSize) -> Drawing {
        let under = &self.explanation.picture;
        let size = size.of(size_of(under));
        let (under, view) = (scaled(under, size), self.explanation.view.scaled(size));
        let image = match (self.raw.method.kind, self.raw.shape.as_slice()) {
            (MapKind::Concepts, &[_, h, w]) => {
                concepts(&self.raw.values, [h, w], &self.raw.placement, &under, &view)
            }
            _ => overlay(&self.drawable(), &under, &view, style, &self.reason()),
        };
        Drawing { image }
    }

    /// The map alone in the image's size: the positive part of a layer's map, both signs of a map of pixels.
    #[must_use]
    pub fn picture(&self) -> Drawing {
        let view = &self.explanation.view;
        match (self.raw.method.kind, self.raw.shape.as_slice()) {
            (MapKind::Concepts, _) => self.overlay(),
            (MapKind::Input, &[c, h, w]) => {
                let drawn = gradient_picture(&self.raw.values, [c, h, w], view, &self.reason());
                let (width, height) = self.explanation.picture.dimensions();
                // What cannot be drawn are values that are no numbers, which is the reason.
                Drawing { image: drawn.unwrap_or_else(|_| reason_picture(width, height, &self.reason())) }
            }
            _ => Drawing { image: heatmap(&self.drawable(), view, HeatStyle::POSITIVE, &self.reason()) },
        }
    }

    /// The map alone with both sides of the evidence, red for the class and blue against it.
    #[must_use]
    pub fn signed(&self) -> Drawing {
        match self.raw.method.kind {
            MapKind::Layer => {
                let view = &self.explanation.view;
                Drawing { image: heatmap(&self.drawable(), view, HeatStyle::SIGNED, &self.reason()) }
            }
            MapKind::Input | MapKind::Concepts => self.picture(),
        }
    }

    /// The map as one plane, of nothing where it cannot be drawn.
    fn drawable(&self) -> Map {
        self.raw.plane().unwrap_or_else(Map::nothing)
    }

    /// What is written where there is nothing to draw.
    fn reason(&self) -> String {
        self.raw.zero.map_or_else(|| "nothing to show".to_owned(), |zero| zero.to_string())
    }
}
