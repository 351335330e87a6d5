//! A heat map together with the image it explains.

use crate::explain::{Attribution, ZeroMap};
use crate::facade::{Drawing, Explanation};
use crate::method::Method;
use crate::model::Layer;
use crate::render::{HeatStyle, Map, PictureSize, scaled, size_of};

/// Heat map of one method for an image, at one layer and for one class.
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

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> &'static Method {
        self.raw.method
    }

    /// Returns the layer, for methods that use one.
    #[must_use]
    pub fn layer(&self) -> Option<&'e Layer> {
        self.raw.layer.as_ref()
    }

    /// Returns the number of the class whose score is explained.
    #[must_use]
    pub fn class(&self) -> usize {
        self.raw.class
    }

    /// Returns the name of the class whose score is explained.
    #[must_use]
    pub fn class_name(&self) -> &'e str {
        self.explanation.names.class(self.raw.class)
    }

    /// Returns the name of the map, as in file names of the command line: the method's id, with `@layer` and `#class`
    /// if there are several.
    #[must_use]
    pub fn name(&self) -> &'e str {
        self.name
    }

    /// Returns the map as computed: its `shape` and signed `values`.
    #[must_use]
    pub fn raw(&self) -> &'e Attribution {
        self.raw
    }

    /// Returns the smallest raw value.
    #[must_use]
    pub fn min(&self) -> f32 {
        self.raw.raw_min
    }

    /// Returns the largest raw value.
    #[must_use]
    pub fn max(&self) -> f32 {
        self.raw.raw_max
    }

    /// Returns the reason why there is nothing to draw, if so.
    #[must_use]
    pub fn why_empty(&self) -> Option<ZeroMap> {
        self.raw.zero
    }

    /// Returns the heat of every pixel of the image, from 0 to 1. 1 is the largest heat of the map; 0 means no heat, or
    /// a part of the image that the model does not see. Returns `None` for concept maps, and if there is nothing to
    /// draw.
    #[must_use]
    pub fn heat(&self) -> Option<Map> {
        Some(self.explanation.view.project(&self.raw.heat()?.positive()?))
    }

    /// Draws the heat over the image, at the image's size.
    #[must_use]
    pub fn overlay(&self) -> Drawing {
        self.overlay_with(HeatStyle::POSITIVE, PictureSize::Original)
    }

    /// Draws the heat over the image, in this style and size.
    #[must_use]
    pub fn overlay_with(&self, style: HeatStyle, size: PictureSize) -> Drawing {
        let under = &self.explanation.picture;
        let size = size.of(size_of(under));
        let (under, view) = (scaled(under, size), self.explanation.view.scaled(size));
        Drawing { image: self.raw.draw_over(&under, &view, style) }
    }

    /// Draws the map alone, at the image's size: the positive part of a layer map, both signs of a pixel map.
    #[must_use]
    pub fn picture(&self) -> Drawing {
        self.alone(HeatStyle::POSITIVE)
    }

    /// Draws the map alone with both signs of the evidence: red for the class and blue against it.
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
