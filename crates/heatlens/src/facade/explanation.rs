//! Results for one image, together with the image.

use std::sync::Arc;

use image::RgbImage;

use crate::explain::{self, ExplainError, Explainer};
use crate::facade::Heatmap;
use crate::method::Method;
use crate::render::CropTransform;

/// The model's prediction for an image, and a heat map per method, layer and class.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub(super) found: explain::ImageAttributions,
    pub(super) picture: RgbImage,
    pub(super) view: CropTransform,
    pub(super) names: Arc<Names>,
    /// Notes on this image alone.
    pub(super) remarks: Vec<String>,
}

/// Names and notes shared by all images of an explainer.
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
    /// Returns the number of the predicted class.
    #[must_use]
    pub fn predicted(&self) -> usize {
        self.found.predicted
    }

    /// Returns the name of the predicted class.
    #[must_use]
    pub fn predicted_name(&self) -> &str {
        self.names.class(self.found.predicted)
    }

    /// Returns the probability of each class.
    #[must_use]
    pub fn probabilities(&self) -> &[f64] {
        &self.found.probabilities
    }

    /// Returns the first heat map of a method. [`heatmaps`](Self::heatmaps) returns those of all layers and classes.
    ///
    /// # Errors
    /// If the method was not requested or was omitted.
    pub fn heatmap(&self, method: &Method) -> Result<Heatmap<'_>, ExplainError> {
        self.heatmaps().find(|map| map.method().id == method.id).ok_or_else(|| ExplainError::NoMap {
            method: method.id,
            found: self.heatmaps().map(|map| map.method().id).collect(),
        })
    }

    /// Returns all heat maps, ordered by method, layer and class.
    pub fn heatmaps(&self) -> impl Iterator<Item = Heatmap<'_>> {
        (0..self.found.attributions.len()).filter_map(|at| Heatmap::new(self, at))
    }

    /// Returns the image in its original size and colours.
    #[must_use]
    pub fn image(&self) -> &RgbImage {
        &self.picture
    }

    /// Returns the part of the image that the model sees.
    #[must_use]
    pub fn view(&self) -> &CropTransform {
        &self.view
    }

    /// Returns the notes to be read before the maps: how the model was interpreted, which methods were omitted, how the
    /// image was changed, and pixels outside the usual range. The command line prints the same sentences.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.names.notes.iter().chain(&self.remarks).map(String::as_str)
    }

    /// Returns all numbers, for use with the lower-level modules.
    #[must_use]
    pub fn numbers(&self) -> &explain::ImageAttributions {
        &self.found
    }
}
