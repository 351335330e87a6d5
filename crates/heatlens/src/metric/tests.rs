//! What the metrics' tests share, and the registry's own.

use std::collections::BTreeMap;

use super::experiment::{Answers, Confidence};
use super::*;
use crate::explain::Attribution;
use crate::method;
use crate::random::{Key, Use};

pub(super) fn attribution(id: &str, shape: &[usize], values: &[f32]) -> Attribution {
    let (raw_min, raw_max) = (-1.0, 1.0);
    let (method, shape, values) = (method::find(id).unwrap(), shape.to_vec(), values.to_vec());
    Attribution { method, layer: None, class: 1, shape, values, raw_min, raw_max, zero: None }
}

/// Scores of these probabilities.
pub(super) fn answers(probabilities: &[f64]) -> Answers {
    let scores = probabilities.iter().map(|&p| Confidence { score: (p / (1.0 - p)).ln(), probability: p });
    Answers { scores: scores.collect(), maps: Vec::new() }
}

/// Reads a metric off a map h×w of an image of one channel.
pub(super) fn read(
    metric: &Metric,
    [h, w]: [usize; 2],
    values: &[f32],
    mask: Option<&[bool]>,
    unchanged: f64,
    answers: &[(&'static Experiment, Answers)],
) -> Option<f64> {
    let (map, pixels, plan) = (attribution("grad_cam", &[h, w], values), vec![1.0; h * w], Plan::quick());
    let surface = Surface::new(&map, [h, w]).unwrap();
    let key = Key::new(0, Use::Audit);
    let order = surface.order(key);
    let scene = Scene { pixels: &pixels, shape: [1, h, w], mask, plan: &plan, key };
    let view = View { scene, attribution: &map, surface: &surface, order: &order };
    let answers: BTreeMap<_, _> = answers.iter().map(|(e, a)| (e.id, a)).collect();
    let unchanged = Confidence { score: 0.0, probability: unchanged };
    (metric.read)(&Outcome { view, unchanged, answers })
}

#[test]
fn rows_are_complete_and_ids_are_unique() {
    for (i, metric) in METRICS.iter().enumerate() {
        assert!(METRICS[..i].iter().all(|other| other.id != metric.id), "{} twice", metric.id);
        assert!(metric.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
        let texts = [metric.title, metric.summary, metric.formula, metric.paper];
        assert!(texts.iter().all(|t| !t.is_empty()), "{} is incomplete", metric.id);
        assert!(find(metric.id).is_some_and(|m| m.id == metric.id));
        assert_eq!(metric.needs_mask, metric.aspect == Aspect::Localisation);
    }
    let all = experiments(METRICS);
    for (i, experiment) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| other.id != experiment.id));
        assert!((experiment.passes)(&Plan::full()) >= (experiment.passes)(&Plan::quick()));
    }
}
