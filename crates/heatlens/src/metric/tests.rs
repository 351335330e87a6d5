//! Helpers shared by the tests of the metrics, and tests of the registry.

use std::collections::BTreeMap;

use super::perturbation::{Confidence, Responses};
use super::*;
use crate::explain::Attribution;
use crate::method;
use crate::random::{Key, Use};

pub(super) fn attribution(id: &str, shape: &[usize], values: &[f32]) -> Attribution {
    let (raw_min, raw_max) = (-1.0, 1.0);
    let (method, shape, values) = (method::find(id).unwrap(), shape.to_vec(), values.to_vec());
    Attribution {
        method,
        layer: None,
        class: 1,
        shape,
        values,
        placement: crate::model::Placement::EVEN,
        raw_min,
        raw_max,
        zero: None,
        focus: None,
    }
}

/// Creates scores with these probabilities.
pub(super) fn responses(probabilities: &[f64]) -> Responses {
    let scores = probabilities.iter().map(|&p| Confidence { score: (p / (1.0 - p)).ln(), probability: p });
    Responses { scores: scores.collect(), maps: Vec::new() }
}

/// Computes a metric from a map of shape `h w` of a single-channel image.
pub(super) fn read(
    metric: &Metric,
    [h, w]: [usize; 2],
    values: &[f32],
    mask: Option<&[bool]>,
    unchanged: f64,
    responses: &[(&'static Experiment, Responses)],
) -> Option<f64> {
    let (map, pixels, plan) =
        (attribution("grad_cam", &[h, w], values), vec![1.0; h * w], MetricPlan::quick());
    let upsampled = UpsampledMap::new(&map, [h, w]).unwrap();
    let key = Key::new(0, Use::Audit);
    let order = upsampled.order(key);
    let context = ImageContext { pixels: &pixels, shape: [1, h, w], mask, plan: &plan, key };
    let view = MapContext { context, attribution: &map, upsampled: &upsampled, order: &order };
    let responses: BTreeMap<_, _> = responses.iter().map(|(e, a)| (e.id, a)).collect();
    let unchanged = Confidence { score: 0.0, probability: unchanged };
    (metric.read)(&MetricInput { view, unchanged, responses })
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
        assert!((experiment.passes)(&MetricPlan::full()) >= (experiment.passes)(&MetricPlan::quick()));
    }
}

/// Reads a file of `tools/golden/make_audit.py`.
fn golden(name: &str) -> serde_json::Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/audit").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[allow(clippy::cast_possible_truncation)]
fn floats(value: &serde_json::Value) -> Vec<f32> {
    numbers(value).into_iter().map(|v| v as f32).collect()
}

fn bools(value: &serde_json::Value) -> Vec<bool> {
    value.as_array().unwrap().iter().map(|v| v.as_bool().unwrap()).collect()
}

#[track_caller]
fn close(what: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1e-3), "{what}: {found} and {expected}");
}

#[test]
fn maps_are_as_sparse_and_complex_as_quantus_says() {
    let case = golden("quantus.json");
    for i in 0..3 {
        let (map, mask) = (floats(&case["maps"][i]), bools(&case["masks"][i]));
        for id in ["sparseness", "complexity", "energy_pointing"] {
            let found = read(find(id).unwrap(), [12, 16], &map, Some(&mask), 0.5, &[]).unwrap();
            close(id, found, case[id][i].as_f64().unwrap());
        }
    }
}

#[test]
fn infidelity_and_sensitivity_are_captums() {
    let case = golden("captum.json");
    for i in 0..3 {
        let (told, fall) = (numbers(&case["told"][i]), numbers(&case["fall"][i]));
        let pairs: Vec<(f64, f64)> = told.into_iter().zip(fall).collect();
        let found = infidelity::infidelity(&pairs, 1.0).unwrap();
        close("infidelity", found, case["infidelity"][i].as_f64().unwrap());
        let found = infidelity::infidelity(&pairs, infidelity::best_scale(&pairs)).unwrap();
        close("scaled", found, case["infidelity_scaled"][i].as_f64().unwrap());
    }
    let map = |i: usize| floats(&case["sensitivity_maps"][i]);
    let maps = (1..4).map(|i| attribution("grad_cam", &[12, 16], &map(i))).collect();
    let metric = find("max_sensitivity").unwrap();
    let given = [(metric.experiments[0], Responses { maps, ..Responses::default() })];
    let found = read(metric, [12, 16], &map(0), None, 0.5, &given).unwrap();
    close("max_sensitivity", found, case["max_sensitivity"][0].as_f64().unwrap());
}

#[test]
fn imputed_pixels_are_pytorch_grad_cams() {
    let case = golden("grad_cam.json");
    let shape: Vec<usize> = numbers(&case["shape"]).into_iter().map(|v| v as usize).collect();
    let (expected, missing) = (floats(&case["imputed"]), bools(&case["missing"]));
    let area = shape[1] * shape[2];
    let mut image: Vec<f32> =
        expected.iter().enumerate().map(|(i, v)| if missing[i % area] { -9.0 } else { *v }).collect();
    parts::impute(&mut image, [shape[0], shape[1], shape[2]], &missing);
    let worst = image.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let range = expected.iter().copied().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(worst < 2e-3 * range, "{worst} of {range}");
}
