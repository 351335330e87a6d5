//! Explained images, as passed to the sinks.

use crate::data::{Dataset, Sample};
use crate::explain::{Explainer, ImageAttributions};
use crate::localise::Mask;
use crate::model::HeadKind;
use crate::run::BaseImage;

/// An explained image.
#[derive(Debug)]
pub struct ExplainedImage<'a> {
    /// Explainer that computed the maps.
    pub explainer: &'a Explainer,
    /// Data set of the image.
    pub data: &'a dyn Dataset,
    /// Number of the image in the data set.
    pub item: usize,
    /// Pixels of the image.
    pub sample: &'a Sample,
    /// Logits and maps.
    pub explanation: &'a ImageAttributions,
    /// The image as a [thumbnail](BaseImage::thumbnail), if a sink [wants](crate::run::Sink::wants_picture) it.
    pub thumbnail: Option<&'a BaseImage>,
    /// Ground-truth mask, covering the whole image, if known.
    pub truth: Option<&'a Mask>,
    /// Picture files of the image, relative to the run's folder.
    pub files: &'a [String],
    /// Manifest line of the image, without the line break.
    pub line: &'a str,
    /// True if the line, the cache record and the pictures are in the run's folder already.
    pub written: bool,
}

impl ExplainedImage<'_> {
    /// Returns the class of the image, if known.
    #[must_use]
    pub fn label(&self) -> Option<usize> {
        self.data.label(self.item)
    }

    /// Returns what the model says of the image where that is not a class with its probability: a quantity, or the share of
    /// pixels of the explained class.
    #[must_use]
    pub fn measure(&self) -> Option<String> {
        let class = self.explanation.attributions.first().map_or(0, |map| map.class);
        let head = &self.explainer.model().head;
        if head.kind == HeadKind::Segmentation {
            let share = self.explanation.probabilities.get(class).copied().unwrap_or(f64::NAN);
            return Some(format!("{} covers {:.1} % of the pixels", self.class_name(class), 100.0 * share));
        }
        let value = match self.explanation.logits.as_slice() {
            [only] => *only,
            values => values.get(class).copied().unwrap_or(f32::NAN),
        };
        head.is_quantity().then(|| format!("value {value:.4}"))
    }

    /// Returns the title of a map, with layer and class if there are several.
    #[must_use]
    pub fn map_title(&self, at: usize) -> String {
        self.explainer.maps().get(at).map_or(String::new(), |spec| spec.title(self.explainer.model()))
    }

    /// Returns the name of a class.
    #[must_use]
    pub fn class_name(&self, class: usize) -> String {
        let names = &self.explainer.model().class_names;
        names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}
