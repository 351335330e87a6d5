//! Metrics of explanations: one file per idea, one row of [`METRICS`] per published definition.
//!
//! A [`Metric`] is computed from a map, the object's mask, and [`Experiment`]s: perturbed copies of the image with
//! the model's scores or the method's maps for them. Metrics do not depend on methods. [`Evaluator`] runs the
//! experiments in batches.

mod adcc;
mod average_drop;
mod coherency;
mod complexity;
mod curve;
mod energy;
mod evaluator;
mod infidelity;
mod iou;
mod parts;
pub mod perturbation;
mod pointing;
mod road;
mod sensitivity;
pub mod similarity;
mod sparseness;
pub mod upsampled;

pub use energy::{chance_share, energy_share};
pub use evaluator::{Evaluator, ImageMetrics, MAPS, ProgressListener, Workload};
pub use perturbation::{Experiment, ImageContext, MapContext, MetricInput, MetricPlan};
pub use upsampled::UpsampledMap;

/// Direction of improvement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Larger is better.
    Higher,
    /// Smaller is better.
    Lower,
    /// Descriptive only.
    Neither,
}

/// Aspect of quality that a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Agreement of the map with the model's behaviour; determines the ranking.
    Faithfulness,
    /// Other published measures of faithfulness on the same perturbed images; excluded from the ranking so that
    /// these are not counted twice.
    FaithfulnessToo,
    /// Stability of the map under imperceptible changes of the image.
    Robustness,
    /// Readability of the map.
    Simplicity,
    /// Overlap of the heat with the object.
    Localisation,
}

/// A metric as a row of the registry.
#[derive(Debug)]
pub struct Metric {
    /// Id used on the command line.
    pub id: &'static str,
    /// Title for display.
    pub title: &'static str,
    /// One-sentence summary.
    pub summary: &'static str,
    /// Formula in symbols.
    pub formula: &'static str,
    /// Publication.
    pub paper: &'static str,
    /// Direction of improvement.
    pub better: Better,
    /// Aspect measured.
    pub aspect: Aspect,
    /// Experiments needed.
    pub experiments: &'static [&'static Experiment],
    /// True if the object's mask is needed.
    pub needs_mask: bool,
    /// Computes the value; `None` if it is not defined.
    pub read: fn(&MetricInput<'_>) -> Option<f64>,
}

/// All metrics, in display order.
pub static METRICS: &[&Metric] = &[
    &curve::DELETION,
    &curve::INSERTION,
    &road::ROAD_MORF,
    &road::ROAD_LERF,
    &road::ROAD_COMBINED,
    &average_drop::AVERAGE_DROP,
    &average_drop::AVERAGE_DROP_MIN_MAX,
    &average_drop::AVERAGE_DROP_ABSOLUTE,
    &average_drop::AVERAGE_DROP_MEAN_ABS,
    &average_drop::AVERAGE_INCREASE,
    &average_drop::AVERAGE_GAIN,
    &adcc::ADCC,
    &infidelity::INFIDELITY,
    &infidelity::INFIDELITY_SCALED,
    &sensitivity::MAX_SENSITIVITY,
    &sensitivity::AVG_SENSITIVITY,
    &coherency::COHERENCY,
    &sparseness::SPARSENESS,
    &complexity::COMPLEXITY,
    &complexity::L1_COMPLEXITY,
    &energy::ENERGY_POINTING,
    &pointing::POINTING_GAME,
    &iou::IOU_15,
    &iou::IOU_25,
    &iou::IOU_50,
];

/// Returns the metric with the given id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Metric> {
    METRICS.iter().copied().find(|m| m.id == id)
}

/// Returns all experiments that these metrics need, in order and without duplicates.
#[must_use]
pub fn experiments(metrics: &[&'static Metric]) -> Vec<&'static Experiment> {
    let mut found: Vec<&'static Experiment> = Vec::new();
    for experiment in metrics.iter().flat_map(|m| m.experiments) {
        if found.iter().all(|known| known.id != experiment.id) {
            found.push(experiment);
        }
    }
    found
}

#[cfg(test)]
mod tests;
