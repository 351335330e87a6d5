//! Summary of a run in numbers.

use std::path::PathBuf;

use crate::explain::{Explainer, ImageAttributions, ZeroMap};

/// Summary of a run in numbers.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Number of explained images.
    pub done: usize,
    /// Images that could not be read, each with its source and the reason.
    pub broken: Vec<(String, String)>,
    /// Path of the contact sheet, if one was drawn.
    pub sheet: Option<PathBuf>,
    /// True if the run was stopped before its end.
    pub stopped: bool,
    /// Logits of all explained images, in order.
    pub logits: Vec<Vec<f32>>,
    /// Known classes of the explained images, in order.
    pub labels: Vec<Option<usize>>,
    /// Number of images without positive evidence, by map name and reason.
    pub empty_maps: Vec<(String, usize)>,
}

impl Summary {
    pub(super) fn add(
        &mut self,
        explainer: &Explainer,
        label: Option<usize>,
        explanation: &ImageAttributions,
    ) {
        self.done += 1;
        self.labels.push(label);
        self.logits.push(explanation.logits.clone());
        for (spec, attribution) in explainer.maps().iter().zip(&explanation.attributions) {
            let absent = |zero: &ZeroMap| spec.several_classes && zero.is_absent();
            if let Some(reason) = attribution.zero.filter(|zero| !absent(zero)) {
                let what = format!("{}: {reason}", spec.name);
                match self.empty_maps.iter_mut().find(|(known, _)| *known == what) {
                    Some((_, count)) => *count += 1,
                    None => self.empty_maps.push((what, 1)),
                }
            }
        }
    }
}
