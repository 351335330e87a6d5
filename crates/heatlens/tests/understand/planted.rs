//! Networks whose answer is known, with a quantity and an embedding as outputs. `tools/golden/make_planted.py` made them, and
//! computed the maps of the similarity with torch's autograd.

use std::fs;

use heatlens::explain::{ExplainOptions, Explainer, ImageAttributions, Target};
use heatlens::method::find;
use heatlens::model::{HeadKind, Model, ModelOptions};
use heatlens::predict::Predictor;
use serde_json::Value;

use super::common::{Tol, assert_close, golden, npy};

const SIDE: usize = 40;

fn open(file: &str, head: HeadKind) -> Model {
    let options = ModelOptions { head: Some(head), ..ModelOptions::default() };
    Model::open_with(golden("planted").join(file), &options).unwrap()
}

fn images(file: &str) -> Vec<Vec<f32>> {
    let (_, pixels) = npy(&golden("planted").join(file));
    pixels.chunks(SIDE * SIDE).map(<[f32]>::to_vec).collect()
}

fn json(file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(golden("planted").join(file)).unwrap()).unwrap()
}

fn explain(model: &Model, methods: &[&str], layer: Option<&str>, image: &[f32]) -> ImageAttributions {
    let methods: Vec<_> = methods.iter().map(|id| find(id).unwrap()).collect();
    let layers = layer.map(|name| model.layer(name).unwrap()).into_iter().collect();
    // Class 1 is what makes the number larger.
    let options = ExplainOptions { target: Target::Class(1), layers, ..ExplainOptions::new(&methods) };
    Explainer::new(model, &options).unwrap().explain(image, 1).unwrap().remove(0)
}

/// Returns the share of a map's heat in a box (left, top, right, bottom), and the box's share of the image.
fn inside(explained: &ImageAttributions, map: usize, bounds: &Value) -> [f64; 2] {
    let side = |i: usize| bounds[i].as_f64().unwrap();
    let heat = explained.attributions[map].heat_over([SIDE, SIDE]).unwrap();
    let within = |i: &usize| {
        let (row, column) = ((i / SIDE) as f64 + 0.5, (i % SIDE) as f64 + 0.5);
        side(0) <= column && column <= side(2) && side(1) <= row && row <= side(3)
    };
    let total: f64 = heat.iter().map(|&v| f64::from(v.abs())).sum();
    let own: Vec<usize> = (0..heat.len()).filter(within).collect();
    let share = own.iter().map(|&i| f64::from(heat[i].abs())).sum::<f64>() / total;
    [share, own.len() as f64 / heat.len() as f64]
}

/// The number is the area of the bright disc; the dim one does not matter.
#[test]
fn a_regression_on_the_area_of_one_disc_looks_at_that_disc() {
    let (model, truth) = (open("regression.onnx", HeadKind::Regression), json("regression.json"));
    let methods = ["grad_cam", "hires_cam"];
    for (i, image) in images("discs.npy").iter().enumerate() {
        let area = truth["areas"][i].as_f64().unwrap();
        let found = f64::from(Predictor::new(&model).unwrap().logits(image, 1).unwrap()[0]);
        assert!((found - area).abs() < 0.2 * area + 10.0, "image {i}: an area of {found} instead of {area}");
        let explained = explain(&model, &methods, None, image);
        for (map, id) in methods.iter().enumerate() {
            let [own, chance] = inside(&explained, map, &truth["boxes"][i][0]);
            let [other, _] = inside(&explained, map, &truth["boxes"][i][1]);
            assert!(own >= 3.0 * chance, "{id} on image {i}: {own} in the box, {chance} by chance");
            assert!(own >= 5.0 * other, "{id} on image {i}: {own} in the box, {other} on the other disc");
        }
    }
}

/// Returns the embedding network held against the second scene of a pair.
fn held(model: &Model, other: &[f32]) -> Model {
    let embedding = Predictor::new(model).unwrap().logits(other, 1).unwrap();
    model.clone().with_reference(&embedding).unwrap()
}

#[test]
fn similarity_maps_are_those_of_autograd() {
    let (model, truth) = (open("similarity.onnx", HeadKind::Similarity), json("similarity.json"));
    let (_, gradients) = npy(&golden("planted").join("similarity_gradient.npy"));
    let (shape, maps) = npy(&golden("planted").join("similarity_grad_cam.npy"));
    let (scenes, area) = (images("figures.npy"), shape[1] * shape[2]);
    for (k, pair) in truth["pairs"].as_array().unwrap().iter().enumerate() {
        let model = held(&model, &scenes[2 * k + 1]);
        let explained = explain(&model, &["gradient", "grad_cam"], truth["layer"].as_str(), &scenes[2 * k]);
        let cosine = f64::from(explained.logits[0]);
        assert!((cosine - pair["cosine"].as_f64().unwrap()).abs() < 1e-5, "pair {k}: {cosine}");
        let expected = [&gradients[k * SIDE * SIDE..(k + 1) * SIDE * SIDE], &maps[k * area..(k + 1) * area]];
        for (map, expected) in explained.attributions.iter().zip(expected) {
            assert_close(&format!("{} of pair {k}", map.method.id), &map.values, expected, Tol::FRAMEWORK);
        }
    }
}

/// Each scene has a figure that the other has as well, and one that it has not.
#[test]
fn similarity_looks_at_what_two_images_share() {
    let (model, truth) = (open("similarity.onnx", HeadKind::Similarity), json("similarity.json"));
    let (scenes, methods) = (images("figures.npy"), ["grad_cam", "hires_cam"]);
    for (k, pair) in truth["pairs"].as_array().unwrap().iter().enumerate() {
        let explained = explain(&held(&model, &scenes[2 * k + 1]), &methods, None, &scenes[2 * k]);
        for (map, id) in methods.iter().enumerate() {
            let [own, chance] = inside(&explained, map, &pair["shared"]);
            let [other, _] = inside(&explained, map, &pair["other"]);
            assert!(own >= 3.0 * chance, "{id} of pair {k}: {own} on the shared figure, {chance} by chance");
            assert!(own >= 5.0 * other, "{id} of pair {k}: {own} on the shared figure, {other} on the other");
        }
    }
}
