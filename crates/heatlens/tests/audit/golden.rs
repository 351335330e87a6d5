//! Compares metrics with those of other programs. The files come from `tools/golden/make_audit.py`.

use heatlens::method::{MethodSettings, find};
use heatlens::metric::{Evaluator, ImageContext, METRICS, MetricPlan, similarity};
use heatlens::model::{Model, Placing};
use heatlens::random::{Key, Use};
use serde_json::Value;

use crate::common::{golden, npy};

fn case(name: &str) -> Value {
    let text = std::fs::read_to_string(golden("audit").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|v| v as f32).collect()
}

#[track_caller]
fn close(what: &str, found: f64, expected: f64, off: f64) {
    assert!((found - expected).abs() <= off, "{what}: {found} and {expected}");
}

#[test]
fn similarities_agree_with_quantus() {
    let case = case("quantus.json");
    let size = [0, 1].map(|i| case["size"][i].as_u64().unwrap() as usize);
    for i in 0..3 {
        let (a, b) = (floats(&case["maps"][i]), floats(&case["others"][i]));
        let number = |key: &str| case[key][i].as_f64().unwrap();
        close("spearman", similarity::spearman(&a, &b).unwrap(), number("spearman"), 1e-9);
        let found = similarity::structural(&a, &b, size, number("ssim_range")).unwrap();
        close("ssim", found, number("ssim"), 1e-6);
    }
}

/// The whole pipeline: the Grad-CAM map of a complete network, masked, imputed and scored.
#[test]
fn drop_and_road_agree_with_pytorch_grad_cam() {
    let (case, folder) = (case("grad_cam.json"), golden("branchy"));
    let model = Model::open(&folder.join("model.onnx")).unwrap();
    let (shape, pixels) = npy(&folder.join("input.npy"));
    let plan = MetricPlan::quick();
    let methods = [find("grad_cam").unwrap()];
    // The other library upsamples the map evenly.
    let settings = MethodSettings::default().placed(Placing::Resize);
    let evaluator = Evaluator::new(&model, &methods, &settings, METRICS, &plan).unwrap();
    let len = pixels.len() / shape[0];
    for (i, image) in pixels.chunks(len).enumerate() {
        let key = Key::new(1, Use::Audit).at(i as u64);
        let context = ImageContext { pixels: image, shape: model.shape(), mask: None, plan: &plan, key };
        let measured = evaluator.measure(&context, &|_, _| true).unwrap();
        assert_eq!(measured.predicted as u64, case["classes"][i].as_u64().unwrap());
        let found = |id: &str| measured.values[0][id];
        let expected = |key: &str| case[key][i].as_f64().unwrap();
        close("drop", found("average_drop_absolute"), expected("drop"), 1e-5);
        close("increase", found("average_increase"), expected("increase"), 0.0);
        // The other library adds no noise and solves the system exactly.
        for id in ["road_morf", "road_lerf", "road_combined"] {
            close(id, found(id), expected(id), 2e-4);
        }
    }
}
