//! Raw maps agree with those of other libraries, if these follow the paper's definition. The files come from
//! `tools/golden/make_peer_maps.py`; its README lists the methods without a counterpart, with reasons.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

mod common;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;

use common::{Tol, assert_close, golden, npy};
use heatlens::explain::{Compat, ExplainOptions, Explainer, Fusion, Target};
use heatlens::method::{self, MethodSettings, Work};
use heatlens::model::{Model, Placing};
use serde_json::Value;

/// A case: the model, its concatenated images, and the number of values per image.
struct Case {
    model: Model,
    pixels: Vec<f32>,
    one: usize,
}

fn open(name: &str) -> Case {
    let model = Model::open(&golden(name).join("model.onnx")).unwrap();
    let (shape, pixels) = npy(&golden(name).join("input.npy"));
    Case { model, one: pixels.len() / shape[0], pixels }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().map_or(Vec::new(), |list| list.iter().map(|v| v.as_str().unwrap()).collect())
}

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| usize::try_from(v.as_u64().unwrap()).unwrap()).collect()
}

/// Returns the maps of an entry's images, explained in one batch with all other images of the case.
fn maps(case: &Case, entry: &Value) -> Vec<Vec<f32>> {
    // Other libraries spread maps evenly over the image.
    let mut settings = MethodSettings::default().placed(Placing::Resize);
    strings(&entry["set"]).into_iter().for_each(|set| settings.set(set).unwrap());
    let layers = match strings(&entry["layers"]) {
        several if !several.is_empty() => several,
        _ => vec![entry["layer"].as_str().unwrap()],
    };
    let fusion = |name: &str| Fusion::ALL.into_iter().find(|(known, ..)| *known == name).unwrap().2;
    let method = method::find(entry["method"].as_str().unwrap()).unwrap();
    // For methods that need scores only, other libraries compute the paper's formula, and Captum has no
    // post-processing.
    let published = (!matches!(method.work, Work::Graph(_))).then_some(Compat::Captum);
    let options = ExplainOptions {
        layers: layers.into_iter().map(|name| case.model.layer(name).unwrap()).collect(),
        target: Target::Class(usize::try_from(entry["class"].as_u64().unwrap()).unwrap()),
        settings,
        fusion: entry["fusion"].as_str().map(fusion),
        compat: published,
        ..ExplainOptions::new(&[method])
    };
    let explainer = Explainer::new(&case.model, &options).unwrap();
    let explained = explainer.explain(&case.pixels, case.pixels.len() / case.one).unwrap();
    numbers(&entry["images"]).into_iter().map(|i| explained[i].attributions[0].values.clone()).collect()
}

/// Returns the map with the sign of the other library's map; the sign of a principal component is arbitrary there.
fn as_the_peer_points(map: &[f32], peer: &[f32]) -> Vec<f32> {
    let together: f64 = map.iter().zip(peer).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    let sign = if together < 0.0 { -1.0 } else { 1.0 };
    map.iter().map(|v| v * sign).collect()
}

#[test]
fn every_map_agrees_with_the_peers() {
    let folder = golden("peers");
    let entries: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("peers.json")).unwrap()).unwrap();
    let entries = entries.as_array().unwrap();
    let mut cases = BTreeMap::new();
    for entry in entries {
        let text = |key: &str| entry[key].as_str().unwrap();
        let case = match cases.entry(text("case")) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(open(text("case"))),
        };
        let (_, expected) = npy(&folder.join(text("file")));
        let mut found = maps(case, entry);
        let one = expected.len() / found.len();
        if entry["sign"] == "free" {
            for (map, peer) in found.iter_mut().zip(expected.chunks(one)) {
                *map = as_the_peer_points(map, peer);
            }
        }
        let tol = entry["tolerance"].as_f64().map_or(Tol::FRAMEWORK, Tol);
        assert_close(text("file"), &found.concat(), &expected, tol);
    }
    assert!(entries.len() >= 50, "only {} maps", entries.len());
}

#[test]
fn a_transformer_is_looked_at_where_its_peers_look() {
    let case = open("tiny_vit");
    let layer = case.model.default_layer().unwrap();
    assert!(layer.node.contains("encoder_layer_2/ln_1"), "{}", layer.node);
    assert_eq!(layer.shape, [12, 4, 4]);
}
