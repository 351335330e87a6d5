//! Measures of explanations: one file for each idea, one row of [`METRICS`] for each published definition.
//!
//! A [`Metric`] is read from a map, from the object's mask, and from [`Experiment`]s: changed copies of the image, of
//! which the model is asked for scores or the method for maps. Metrics know nothing of methods. [`Laboratory`] makes
//! the experiments, many copies at a time.

mod adcc;
mod average_drop;
mod coherency;
mod complexity;
mod curve;
mod energy;
pub mod experiment;
mod infidelity;
mod iou;
mod laboratory;
mod parts;
mod pointing;
mod road;
mod sensitivity;
pub mod similarity;
mod sparseness;
pub mod surface;

pub use energy::{chance_share, energy_share};
pub use experiment::{Experiment, Outcome, Plan, Scene, View};
pub use laboratory::{Laboratory, Listener, MAPS, Measured, Workload};
pub use surface::Surface;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Larger is better.
    Higher,
    /// Smaller is better.
    Lower,
    /// It describes, and does not judge.
    Neither,
}

/// What a metric speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Does the map show what the model uses? These decide the ranking.
    Faithfulness,
    /// The same question with the same changed images, asked in other published ways; not counted twice.
    FaithfulnessToo,
    /// Does the map stay the same where the image hardly changes?
    Robustness,
    /// Is the map easy to read?
    Simplicity,
    /// Does the heat fall on the object?
    Localisation,
}

/// A row of the registry.
#[derive(Debug)]
pub struct Metric {
    /// What people type.
    pub id: &'static str,
    /// What people read.
    pub title: &'static str,
    /// What it asks, in one sentence.
    pub summary: &'static str,
    /// The formula in symbols.
    pub formula: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// Which way is better.
    pub better: Better,
    /// What it speaks of.
    pub aspect: Aspect,
    /// The experiments it is read from.
    pub experiments: &'static [&'static Experiment],
    /// Whether it needs the object's mask.
    pub needs_mask: bool,
    /// Reads it off; `None` where it is not defined.
    pub read: fn(&Outcome<'_>) -> Option<f64>,
}

/// Every metric, in the order in which they are listed.
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

/// The metric called `id`.
#[must_use]
pub fn find(id: &str) -> Option<&'static Metric> {
    METRICS.iter().copied().find(|m| m.id == id)
}

/// Every experiment that these metrics need, once each, in order.
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
