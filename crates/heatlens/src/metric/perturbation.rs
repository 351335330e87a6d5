//! Perturbations of an image that metrics are computed from.
//!
//! An [`Experiment`] makes perturbed copies of an image and computes the model's scores or the method's maps for
//! them. Metrics list the experiments they need; an experiment used by several metrics is run once.

use std::collections::BTreeMap;

use crate::explain::Attribution;
use crate::extremes::extremes;
use crate::metric::UpsampledMap;
use crate::random::Key;

/// Amount of work per image.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPlan {
    /// Number of steps of the insertion and deletion curves.
    pub steps: usize,
    /// Shares of pixels kept by ROAD, one after the other.
    pub road: Vec<f64>,
    /// Number of squares removed for infidelity.
    pub squares: usize,
    /// Number of noisy copies for the sensitivity metrics.
    pub noisy: usize,
}

impl MetricPlan {
    /// Default of an audit, which takes minutes.
    #[must_use]
    pub fn quick() -> Self {
        Self { steps: 10, road: vec![0.2, 0.4, 0.6, 0.8], squares: 24, noisy: 4 }
    }

    /// Settings of the papers, as far as they are affordable.
    #[must_use]
    pub fn full() -> Self {
        let road = (1u8..=9).map(|tenth| f64::from(tenth) / 10.0).collect();
        Self { steps: 20, road, squares: 64, noisy: 10 }
    }
}

/// An unchanged image with its context.
#[derive(Clone, Copy, Debug)]
pub struct ImageContext<'a> {
    /// Pixels of the model's input, shape `c h w`.
    pub pixels: &'a [f32],
    /// `[c, h, w]`.
    pub shape: [usize; 3],
    /// Object mask, shape `h w`, if known.
    pub mask: Option<&'a [bool]>,
    /// Amount of work per image.
    pub plan: &'a MetricPlan,
    /// Random key of the image.
    pub key: Key,
}

impl ImageContext<'_> {
    /// Returns the number of pixels per channel.
    #[must_use]
    pub fn area(&self) -> usize {
        self.shape[1] * self.shape[2]
    }

    /// Returns the difference between the largest and the smallest value.
    #[must_use]
    pub fn range(&self) -> f32 {
        let [low, high] = extremes(self.pixels);
        (high - low).max(0.0)
    }
}

/// An image with the map of one method.
#[derive(Clone, Copy, Debug)]
pub struct MapContext<'a> {
    /// The image.
    pub context: ImageContext<'a>,
    /// Map as returned by the method.
    pub attribution: &'a Attribution,
    /// Map at the size of the image.
    pub upsampled: &'a UpsampledMap,
    /// Pixel indices from the most to the least relevant.
    pub order: &'a [u32],
}

/// Perturbs an image; called with the index of the copy and the pixels to change.
pub type PerturbFn<'a> = Box<dyn Fn(usize, &mut [f32]) + Send + Sync + 'a>;

/// Perturbation by its dependence on the map.
#[derive(Clone, Copy, Debug)]
pub enum Perturbation {
    /// Depends on the image alone; shared by all methods.
    Image(for<'a> fn(&'a ImageContext<'a>) -> PerturbFn<'a>),
    /// Depends on the map too.
    Map(for<'a> fn(&'a MapContext<'a>) -> PerturbFn<'a>),
}

/// Result computed for the perturbed copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// Scores of the model.
    Scores,
    /// Maps of the method, for the class predicted for the unchanged image.
    Maps,
}

/// A kind of perturbation and the result computed for it.
#[derive(Debug)]
pub struct Experiment {
    /// Name, also used in the table of run times.
    pub id: &'static str,
    /// Result to compute.
    pub response: ResponseKind,
    /// Number of copies.
    pub passes: fn(&MetricPlan) -> usize,
    /// Perturbation of the copies.
    pub change: Perturbation,
}

/// Score and probability of the explained class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// Explained score: the logit of the class, or −z for class 0 of a single logit.
    pub score: f64,
    /// Probability of the class, 0 to 1.
    pub probability: f64,
}

/// Results of an experiment.
#[derive(Clone, Debug, Default)]
pub struct Responses {
    /// Scores by copy; empty if maps were computed.
    pub scores: Vec<Confidence>,
    /// Maps by copy; empty if scores were computed.
    pub maps: Vec<Attribution>,
}

impl Responses {
    /// Returns the probability for copy `i`.
    #[must_use]
    pub fn probability(&self, i: usize) -> Option<f64> {
        self.scores.get(i).map(|c| c.probability)
    }
}

/// All data that a metric is computed from.
#[derive(Debug)]
pub struct MetricInput<'a> {
    /// The image and the map.
    pub view: MapContext<'a>,
    /// Score and probability of the unchanged image.
    pub unchanged: Confidence,
    /// Results of the experiments by id.
    pub responses: BTreeMap<&'static str, &'a Responses>,
}

impl MetricInput<'_> {
    /// Returns the results of an experiment, if it was run.
    #[must_use]
    pub fn of(&self, experiment: &Experiment) -> Option<&Responses> {
        self.responses.get(experiment.id).copied()
    }
}
