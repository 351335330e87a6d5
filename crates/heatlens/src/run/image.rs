//! One explained image, as all sinks see it.

use crate::data::{Dataset, Sample};
use crate::explain::{Explainer, Explanation};
use crate::localise::Mask;
use crate::run::BaseImage;

/// One explained image.
#[derive(Debug)]
pub struct ExplainedImage<'a> {
    /// What explained it.
    pub explainer: &'a Explainer,
    /// Where it comes from.
    pub data: &'a dyn Dataset,
    /// Its number there.
    pub item: usize,
    /// Its pixels.
    pub sample: &'a Sample,
    /// The logits and maps.
    pub explanation: &'a Explanation,
    /// The image itself, as a [thumbnail](BaseImage::thumbnail), where a sink [wants](crate::run::Sink::wants_picture) it.
    pub thumbnail: Option<&'a BaseImage>,
    /// The true object, as a mask that covers the whole image, where it is known.
    pub truth: Option<&'a Mask>,
    /// Its pictures, relative to the run's folder.
    pub files: &'a [String],
    /// Its line in the manifest, without the line break.
    pub line: &'a str,
    /// Whether its line, its record and its pictures are in the run's folder already.
    pub written: bool,
}

impl ExplainedImage<'_> {
    /// The image's class, where it is known.
    #[must_use]
    pub fn label(&self) -> Option<usize> {
        self.data.label(self.item)
    }

    /// The quantity that is explained, in words; `None` for a model of classes.
    #[must_use]
    pub fn quantity(&self) -> Option<String> {
        let class = self.explanation.attributions.first().map_or(0, |map| map.class);
        let value = match self.explanation.logits.as_slice() {
            [only] => *only,
            values => values.get(class).copied().unwrap_or(f32::NAN),
        };
        self.explainer.model().head.is_quantity().then(|| format!("value {value:.4}"))
    }

    /// The title of a map, with layer and class where there are several.
    #[must_use]
    pub fn map_title(&self, at: usize) -> String {
        self.explainer.maps().get(at).map_or(String::new(), |spec| spec.title(self.explainer.model()))
    }

    /// The name of a class.
    #[must_use]
    pub fn class_name(&self, class: usize) -> String {
        let names = &self.explainer.model().class_names;
        names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}
