//! Tiny models of many families, as written by their frameworks' exporters, agree with the frameworks: logits,
//! input gradient, and Grad-CAM at the default layer.
//!
//! The files come from `tools/zoo/make_tiny.py` and `make_tiny_keras.py`.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

mod common;

use std::path::{Path, PathBuf};

use common::npy;
use heatlens::explain::{ExplainOptions, Explainer, Target};
use heatlens::method;
use heatlens::model::Model;

/// Relative L2 differences due to rounding. The seeds avoid the kinks of ReLU and pooling.
const LOGITS: f64 = 1e-4;
const DERIVATIVES: f64 = 1e-3;

/// Two images: waves, and ripples that become finer towards the lower right corner.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn images(side: usize) -> Vec<f32> {
    let pixel = |i: usize| {
        let [n, c, y, x] =
            [i / (3 * side * side), i / (side * side) % 3, i / side % side, i % side].map(|v| v as f64);
        (0.8 * (n + 1.0) * y + 0.6 * x + c).sin() + (0.37 * x * y + n - c).cos()
    };
    (0..6 * side * side).map(|i| pixel(i) as f32).collect()
}

fn difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let size = norm(&mut expected.iter().map(|&v| f64::from(v)));
    assert!(size > 0.0, "nothing to compare with");
    norm(&mut found.iter().zip(expected).map(|(&a, &b)| f64::from(a) - f64::from(b))) / size
}

/// Returns the folders of the families.
fn families() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zoo");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

/// Returns a sentence about what is wrong with a family, if anything.
fn problem(folder: &Path) -> Option<String> {
    let case: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
    let number = |key: &str| usize::try_from(case[key].as_u64().unwrap()).unwrap();
    let model = match Model::open(&folder.join(case["file"].as_str().unwrap())) {
        Ok(model) => model,
        Err(error) => return Some(error.to_string()),
    };
    let methods = ["gradient", "grad_cam"].map(|id| method::find(id).unwrap());
    let layer = model.layer(case["layer"].as_str().unwrap()).unwrap();
    let default = model.default_layer().unwrap();
    // Images are small here: if the last grid has at most four cells, an earlier layer is the default.
    let earlier = layer.shape[1] * layer.shape[2] <= 4 && default.value < layer.value;
    if default.value != layer.value && !earlier {
        return Some(format!("the default layer is {}, expected {}", default.name, layer.name));
    }
    let target = Target::Class(number("class"));
    let options = ExplainOptions { target, layers: vec![layer], ..ExplainOptions::new(&methods) };
    let explained = Explainer::new(&model, &options).unwrap().explain(&images(number("side")), 2).unwrap();
    let flat = |map: usize| explained.iter().flat_map(|e| e.attributions[map].values.clone()).collect();
    let logits = explained.iter().flat_map(|e| e.logits.clone()).collect::<Vec<_>>();
    let found: [(&str, f64, Vec<f32>); 3] = [
        ("logits", LOGITS, logits),
        ("gradient", DERIVATIVES, explained[1].attributions[0].values.clone()),
        ("grad_cam", DERIVATIVES, flat(1)),
    ];
    found.into_iter().find_map(|(name, limit, found)| {
        let (_, expected) = npy(&folder.join(format!("{name}.npy")));
        let difference = difference(&found, &expected);
        (difference.is_nan() || difference > limit).then(|| format!("{name} differs by {difference:.1e}"))
    })
}

#[test]
fn tiny_members_of_every_family_agree_with_their_framework() {
    let families = families();
    let wrong: Vec<String> =
        families.iter().filter_map(|f| problem(f).map(|p| format!("{}: {p}", f.display()))).collect();
    assert!(wrong.is_empty(), "{} of {} families:\n{}", wrong.len(), families.len(), wrong.join("\n"));
    assert!(families.len() >= 33, "only {} families", families.len());
}

/// Without a named method, every family gets a heat map and a fine picture, and nothing fails.
#[test]
fn the_default_methods_explain_every_family() {
    let mut guided = 0;
    for folder in families() {
        let case: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
        let side = usize::try_from(case["side"].as_u64().unwrap()).unwrap();
        let model = Model::open(&folder.join(case["file"].as_str().unwrap())).unwrap();
        let mut options = ExplainOptions::new(&[]);
        let notes = options.take_default_methods(&model);
        let explainer = Explainer::new(&model, &options).unwrap();
        let one = &images(side)[..3 * side * side];
        let explained = explainer.explain(one, 1).unwrap().remove(0);
        let ids: Vec<&str> = explained.attributions.iter().map(|map| map.method.id).collect();
        match ids.as_slice() {
            ["grad_cam", "guided_backprop", "guided_grad_cam"] => {
                assert!(notes.is_empty(), "{}: {notes:?}", folder.display());
                guided += 1;
            }
            ["grad_cam", _] => assert_eq!(notes.len(), 1, "{}: {notes:?}", folder.display()),
            other => panic!("{}: {other:?}, {notes:?}", folder.display()),
        }
        let finite = |map: &heatlens::explain::Attribution| map.values.iter().all(|v| v.is_finite());
        assert!(explained.attributions.iter().all(finite), "{}", folder.display());
        assert!(explained.attributions[1].values.iter().any(|v| *v != 0.0), "{}", folder.display());
    }
    assert!((8..=14).contains(&guided), "{guided} families of rectifiers alone");
}
