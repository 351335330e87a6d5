//! Options of an explanation.

use crate::explain::{Compat, Fusion};
use crate::method::{Method, MethodSettings};
use crate::model::{Layer, Placing};
use crate::target::{Score, Target};

/// Options of an explanation.
#[derive(Clone, Debug)]
pub struct ExplainOptions {
    /// Methods to apply.
    pub methods: Vec<&'static Method>,
    /// Layers to use; the model's default layer if empty.
    pub layers: Vec<Layer>,
    /// Classes to explain.
    pub target: Target,
    /// Class to compare with: explains why a class is chosen over this one.
    pub against: Option<Target>,
    /// True for a counterfactual explanation: what lowers the score.
    pub counterfactual: bool,
    /// Explained score: logits or probabilities.
    pub score: Score,
    /// Settings of the methods, and the seed.
    pub settings: MethodSettings,
    /// Fusion of the maps of several layers; without it there is one map per layer.
    pub fusion: Option<Fusion>,
    /// True if maps are averaged over mirrored and scaled copies of the image.
    pub augment: bool,
    /// True if methods that sum over channels use the first principal component instead.
    pub eigen_smooth: bool,
    /// Library whose post-processing is applied to layer maps.
    pub compat: Option<Compat>,
    /// True if methods that do not apply are omitted with a note instead of causing an error.
    pub skip_inapplicable: bool,
    /// True if intermediate tensors are returned as well.
    pub tensors: bool,
    /// Probability that a class must exceed; maps of other classes are
    /// [absent](crate::explain::ZeroMap::is_absent).
    pub at_least: Option<f64>,
    /// True if the class to explain is given with each image, for
    /// [`Explainer::explain_for`](super::Explainer::explain_for).
    pub classes_given: bool,
}

impl ExplainOptions {
    /// Returns the placement of maps over the image: as in the settings, or by resizing if another library is
    /// reproduced.
    pub(crate) fn placing(&self) -> Placing {
        if self.compat.is_some() { Placing::Resize } else { self.settings.placing }
    }

    /// Returns options for these methods on the default layer, for the logit of the predicted class.
    #[must_use]
    pub fn new(methods: &[&'static Method]) -> Self {
        Self {
            methods: methods.to_vec(),
            layers: Vec::new(),
            target: Target::Predicted,
            against: None,
            counterfactual: false,
            score: Score::Logit,
            settings: MethodSettings::default(),
            fusion: None,
            augment: false,
            eigen_smooth: false,
            compat: None,
            skip_inapplicable: false,
            tensors: false,
            at_least: None,
            classes_given: false,
        }
    }
}
