//! Options of an explanation, as Python gives them.

use heatlens::explain::Score;
use heatlens::run::{self, ChosenTarget};
use heatlens::{Explainer, Model};
use pyo3::prelude::*;

/// Options of an explanation.
#[derive(Clone, Debug, PartialEq, FromPyObject)]
pub(crate) struct Question {
    method: Vec<String>,
    layer: Vec<String>,
    /// Value of `--class`.
    pub(crate) target: String,
    /// Value of `--detection`.
    pub(crate) detection: Option<String>,
    /// Embedding to compare with.
    pub(crate) reference: Option<Vec<f32>>,
    /// Value of `--region`.
    pub(crate) region: Option<String>,
    /// Size and time of the region's file, by which another file of the same name is recognised.
    region_file: Option<(u64, u64)>,
    /// Rows and columns of a mask, and its pixels: 0 outside.
    pub(crate) mask: Option<([usize; 2], Vec<u8>)>,
    against: Option<String>,
    counterfactual: bool,
    seed: u64,
    set: Vec<String>,
    score: String,
}

impl Question {
    /// True if the target depends on the images.
    pub(crate) fn looks(&self) -> bool {
        ChosenTarget::depends_on_images(&self.target, self.detection.as_deref())
    }

    /// True if the question has a reference or a region of its own.
    pub(crate) fn aims(&self) -> bool {
        self.reference.is_some() || self.region.is_some() || self.mask.is_some()
    }

    /// Compiles the explainer for a target.
    pub(crate) fn explainer(&self, model: &Model, chosen: &ChosenTarget) -> Result<Explainer, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let methods = run::methods(&self.method).map_err(|e| text(&e))?;
        let score = self.score.parse::<Score>().map_err(|reason| format!("--score: {reason}"))?;
        let mut builder = Explainer::builder(model)
            .methods(methods)
            .class(chosen.target.clone())
            .score(score)
            .seed(self.seed);
        if let Some(probability) = chosen.at_least {
            builder = builder.at_least(probability);
        }
        if self.method == ["all"] {
            builder = builder.skip_inapplicable();
        }
        if self.counterfactual {
            builder = builder.counterfactual();
        }
        if let Some(against) = &self.against {
            builder = builder.against(against.as_str());
        }
        builder = self.layer.iter().fold(builder, |builder, name| builder.layer(name));
        builder = self.set.iter().fold(builder, |builder, assignment| builder.set(assignment));
        builder.build().map_err(|e| text(&e))
    }
}
