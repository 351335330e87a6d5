//! What can be asked for.

use crate::explain::{Compat, Fusion};
use crate::method::{Method, Settings};
use crate::model::{Layer, Placing};
use crate::target::{Score, Target};

/// What to explain, and how.
#[derive(Clone, Debug)]
pub struct ExplainOptions {
    /// The methods.
    pub methods: Vec<&'static Method>,
    /// The layers; the model's default layer if there are none.
    pub layers: Vec<Layer>,
    /// The classes.
    pub target: Target,
    /// Each class against this one: why that class and not this one.
    pub against: Option<Target>,
    /// Whether the question is turned round: what would lower the score.
    pub counterfactual: bool,
    /// Whether logits or probabilities are explained.
    pub score: Score,
    /// What was set on the methods, and the seed.
    pub settings: Settings,
    /// How the maps of several layers become one; each by itself if not given.
    pub fusion: Option<Fusion>,
    /// Whether maps are averaged over mirrored and scaled copies of the image.
    pub augment: bool,
    /// Whether methods that sum over channels take their first principal component instead.
    pub eigen_smooth: bool,
    /// A library whose last steps are applied to layer maps.
    pub compat: Option<Compat>,
    /// Whether methods that do not apply are left out (with a note) instead of being an error.
    pub skip_inapplicable: bool,
    /// Whether the tensors behind the maps are handed out too.
    pub tensors: bool,
    /// The probability from which a class counts as there: maps of less probable classes are [absent](crate::explain::ZeroMap::is_absent).
    pub at_least: Option<f64>,
    /// Whether each image comes with the class to explain, for [`Explainer::explain_for`](super::Explainer::explain_for).
    pub classes_given: bool,
}

impl ExplainOptions {
    /// How maps are laid over the image: as asked for, or as the peers do where one is repeated.
    pub(crate) fn placing(&self) -> Placing {
        if self.compat.is_some() { Placing::Resize } else { self.settings.placing }
    }

    /// These methods on the default layer, for the predicted class, of the logit.
    #[must_use]
    pub fn new(methods: &[&'static Method]) -> Self {
        Self {
            methods: methods.to_vec(),
            layers: Vec::new(),
            target: Target::Predicted,
            against: None,
            counterfactual: false,
            score: Score::Logit,
            settings: Settings::default(),
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
