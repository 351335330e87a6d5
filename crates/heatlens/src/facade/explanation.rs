//! The result for one image, beside the image.

use std::sync::Arc;

use image::RgbImage;

use crate::explain::{self, ExplainError, Explainer};
use crate::facade::Heatmap;
use crate::method::Method;
use crate::render::View;

/// The model's answer to an image, and a heat map for each method, layer and class.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub(super) found: explain::Explanation,
    pub(super) picture: RgbImage,
    pub(super) view: View,
    pub(super) names: Arc<Names>,
    /// What is to be said of this image alone.
    pub(super) remarks: Vec<String>,
}

/// Names that all images of an explainer have in common.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) classes: Vec<String>,
    pub(super) maps: Vec<String>,
    notes: Vec<String>,
}

impl Names {
    pub(super) fn of(explainer: &Explainer) -> Self {
        let model = explainer.model();
        let mut notes = model.notes();
        notes.extend(explainer.notes().iter().filter(|note| !model.notes().contains(note)).cloned());
        let maps = explainer.maps().iter().map(|spec| spec.name.clone()).collect();
        Self { classes: model.class_names.clone(), maps, notes }
    }

    pub(super) fn class(&self, class: usize) -> &str {
        self.classes.get(class).map_or("", String::as_str)
    }
}

impl Explanation {
    /// The number of the predicted class.
    #[must_use]
    pub fn predicted(&self) -> usize {
        self.found.predicted
    }

    /// The name of the predicted class.
    #[must_use]
    pub fn predicted_name(&self) -> &str {
        self.names.class(self.found.predicted)
    }

    /// The probability of each class.
    #[must_use]
    pub fn probabilities(&self) -> &[f64] {
        &self.found.probabilities
    }

    /// The first heat map of a method. [`heatmaps`](Self::heatmaps) has those of several layers or classes.
    ///
    /// # Errors
    /// If the explainer was not asked for the method, or left it out.
    pub fn heatmap(&self, method: &Method) -> Result<Heatmap<'_>, ExplainError> {
        self.heatmaps().find(|map| map.method().id == method.id).ok_or_else(|| ExplainError::NoMap {
            method: method.id,
            found: self.heatmaps().map(|map| map.method().id).collect(),
        })
    }

    /// Every heat map, in the order of methods, layers and classes.
    pub fn heatmaps(&self) -> impl Iterator<Item = Heatmap<'_>> {
        (0..self.found.attributions.len()).filter_map(|at| Heatmap::new(self, at))
    }

    /// The image in its own size and colours.
    #[must_use]
    pub fn image(&self) -> &RgbImage {
        &self.picture
    }

    /// Where on the image the part lies that the model saw.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// What should be known before the maps are believed: how the model was understood, which methods were left out,
    /// what was changed about the image, and pixels in a strange range. The command line prints the same sentences.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.names.notes.iter().chain(&self.remarks).map(String::as_str)
    }

    /// All numbers, for the modules that go on from there.
    #[must_use]
    pub fn numbers(&self) -> &explain::Explanation {
        &self.found
    }
}
