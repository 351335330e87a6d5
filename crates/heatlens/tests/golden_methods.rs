//! Law 4 for the methods of this crate: the raw maps agree with PyTorch models with the same weights. The files
//! come from `tools/golden/make_methods.py`; its README describes each array.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

mod common;

use std::path::Path;

use common::{Tol, assert_close, description, golden, npy};
use heatlens::explain::{ExplainOptions, Explainer, ImageAttributions, Target};
use heatlens::method;
use heatlens::model::{Layer, Model, Placing};

const CASES: &[&str] = &["gap_cnn", "gap_cnn_bn", "branchy", "no_gap", "saturated", "dead_image"];

fn explain(
    model: &Model,
    id: &str,
    layer: Option<Layer>,
    class: usize,
    case: &Path,
) -> Vec<ImageAttributions> {
    let options = ExplainOptions {
        layers: layer.into_iter().collect(),
        target: Target::Class(class),
        tensors: true,
        // PyTorch's interpolation, used by the PyTorch models, spreads maps evenly.
        settings: method::MethodSettings::default().placed(Placing::Resize),
        ..ExplainOptions::new(&[method::find(id).unwrap()])
    };
    let explainer = Explainer::new(model, &options).unwrap();
    let (shape, pixels) = npy(&case.join("input.npy"));
    explainer.explain(&pixels, shape[0]).unwrap()
}

/// Concatenates an array of all images.
fn flat(explanations: &[ImageAttributions], pick: impl Fn(&ImageAttributions) -> &[f32]) -> Vec<f32> {
    explanations.iter().flat_map(|e| pick(e).to_vec()).collect()
}

/// `grad_cam_other` and `cam_class2` are `grad_cam` and `cam` with a different layer or class.
fn split_name(name: &str) -> (&str, Option<usize>) {
    match name.split_once("_class") {
        Some((method, class)) => (method, Some(class.parse().unwrap())),
        None => (name.strip_suffix("_other").unwrap_or(name), None),
    }
}

fn check_array(case: &Path, model: &Model, entry: &serde_json::Value) {
    let text = |key: &str| entry[key].as_str().unwrap();
    let (id, class) = split_name(text("name"));
    let class = class.unwrap_or(1);
    let (_, expected) = npy(&case.join(text("file")));
    let what = format!("{}/{}", case.file_name().unwrap().to_string_lossy(), text("name"));
    let layer = entry["layer"].as_str().map(|name| model.layer(name).unwrap());
    let found = match id {
        "logits" => flat(&explain(model, "gradient", None, 1, case), |e| &e.logits),
        "probabilities" => probabilities(&explain(model, "gradient", None, 1, case)),
        "conv_output" => {
            flat(&explain(model, "grad_cam", layer, 1, case), |e| &e.tensors.as_ref().unwrap().conv_output)
        }
        "conv_grad" => {
            flat(&explain(model, "grad_cam", layer, 1, case), |e| &e.tensors.as_ref().unwrap().conv_grad)
        }
        "lrp_epsilon_absorbed" => absorbed(&explain(model, "lrp_epsilon", None, class, case), class),
        "weights" => mean_gradients(&explain(model, "grad_cam", layer, 1, case)),
        // Only layer maps take a named layer here; guided Grad-CAM uses the default layer.
        "cam" | "grad_cam" => flat(&explain(model, id, layer, class, case), |e| &e.attributions[0].values),
        _ => flat(&explain(model, id, None, class, case), |e| &e.attributions[0].values),
    };
    // A sum over the whole map, to the tolerance 1e-3 of completeness.
    let tol = if id == "lrp_epsilon_absorbed" { Tol::COMPLETE } else { Tol::FRAMEWORK };
    assert_close(&what, &found, &expected, tol);
}

/// Returns one column for a single-output head, as in the file.
fn probabilities(explanations: &[ImageAttributions]) -> Vec<f32> {
    let of = |e: &ImageAttributions| {
        if e.logits.len() == 1 { vec![e.probabilities[1]] } else { e.probabilities.clone() }
    };
    explanations.iter().flat_map(of).map(|p| p as f32).collect()
}

/// Returns the difference between the score and the sum of a relevance map: the relevance absorbed by biases.
fn absorbed(explanations: &[ImageAttributions], class: usize) -> Vec<f32> {
    let of = |e: &ImageAttributions| {
        let score = f64::from(e.logits[if e.logits.len() == 1 { 0 } else { class }]);
        let sum: f64 = e.attributions[0].values.iter().map(|&v| f64::from(v)).sum();
        (score - sum) as f32
    };
    explanations.iter().map(of).collect()
}

fn mean_gradients(explanations: &[ImageAttributions]) -> Vec<f32> {
    let mut means = Vec::new();
    for e in explanations {
        let tensors = e.tensors.as_ref().unwrap();
        let area = tensors.layer.shape[1] * tensors.layer.shape[2];
        means.extend(tensors.conv_grad.chunks(area).map(|p| p.iter().sum::<f32>() / area as f32));
    }
    means
}

#[test]
fn every_array_agrees_with_pytorch() {
    let mut checked = 0;
    for name in CASES {
        let case = golden(name);
        let model = Model::open(&case.join("model.onnx")).unwrap();
        let about = description(&case);
        let default = model.default_layer().unwrap();
        assert_eq!(default.node, about["default_layer"]["node"].as_str().unwrap(), "{name}: default layer");
        for entry in about["expected"].as_array().unwrap() {
            check_array(&case, &model, entry);
            checked += 1;
        }
    }
    assert!(checked >= 120, "only {checked} arrays were checked");
}

#[test]
fn class_activation_maps_are_refused_without_a_pooling_head() {
    let model = Model::open(&golden("no_gap").join("model.onnx")).unwrap();
    let options = ExplainOptions::new(&[method::find("cam").unwrap()]);
    let refusal = Explainer::new(&model, &options).unwrap_err().to_string();
    assert!(refusal.contains("global average pooling") && refusal.contains("grad_cam"), "{refusal}");
}
