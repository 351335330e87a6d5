//! A heat map with the image that it explains.

use crate::explain::{Attribution, ZeroMap};
use crate::facade::{Drawing, Explanation};
use crate::method::Method;
use crate::model::Layer;
use crate::render::{HeatStyle, Map, PictureSize, scaled, size_of};

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
        Drawing { image: self.raw.draw_over(&under, &view, style) }
    }

    /// The map alone in the image's size: the positive part of a layer's map, both signs of a map of pixels.
    #[must_use]
    pub fn picture(&self) -> Drawing {
        self.alone(HeatStyle::POSITIVE)
    }

    /// The map alone with both sides of the evidence, red for the class and blue against it.
    #[must_use]
    pub fn signed(&self) -> Drawing {
        self.alone(HeatStyle::SIGNED)
    }

    fn alone(&self, style: HeatStyle) -> Drawing {
        let Explanation { picture, view, .. } = self.explanation;
        let whole = self.raw.draw_whole(picture, view);
        Drawing { image: whole.unwrap_or_else(|| self.raw.draw(view, style)) }
    }
}
