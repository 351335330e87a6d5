//! Laws that hold for every model of a kind, whatever its weights.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

mod common;

use common::{Tol, assert_close, golden, npy};
use heatlens::explain::{ExplainOptions, Explainer, ImageAttributions, Target, ZeroMap};
use heatlens::graph::Tensor;
use heatlens::method::{METHODS, MethodSettings, Work, find};
use heatlens::model::Model;

const GAP_CASES: &[&str] = &["gap_cnn", "gap_cnn_bn", "saturated", "branchy"];

fn open(case: &str) -> (Model, Vec<f32>, usize) {
    let model = Model::open(&golden(case).join("model.onnx")).unwrap();
    let (shape, pixels) = npy(&golden(case).join("input.npy"));
    (model, pixels, shape[0])
}

fn explain(
    model: &Model,
    pixels: &[f32],
    n: usize,
    methods: &[&str],
    target: Target,
) -> Vec<ImageAttributions> {
    let methods: Vec<_> = methods.iter().map(|id| find(id).unwrap()).collect();
    let options = ExplainOptions { target, tensors: true, ..ExplainOptions::new(&methods) };
    Explainer::new(model, &options).unwrap().explain(pixels, n).unwrap()
}

/// Law 1: CAM = Grad-CAM × area = Σ gradient × activation × area, and the map sums to area × (logit − bias).
#[test]
fn on_a_pooling_head_all_maps_are_one() {
    for case in GAP_CASES {
        let (model, pixels, n) = open(case);
        let gap = model.gap_head().unwrap();
        let row = if model.head.outputs == 1 { 0 } else { 1 };
        for e in explain(&model, &pixels, n, &["cam", "grad_cam"], Target::Class(1)) {
            let [cam, grad_cam] = [0, 1].map(|i| &e.attributions[i].values);
            let tensors = e.tensors.as_ref().unwrap();
            let area = cam.len();
            let scaled: Vec<f32> = grad_cam.iter().map(|v| v * area as f32).collect();
            assert_close(&format!("{case}: Grad-CAM × area"), &scaled, cam, Tol::F32);
            let mut elementwise = vec![0.0; area];
            for (a, g) in tensors.conv_output.chunks(area).zip(tensors.conv_grad.chunks(area)) {
                for ((sum, a), g) in elementwise.iter_mut().zip(a).zip(g) {
                    *sum += a * g * area as f32;
                }
            }
            assert_close(&format!("{case}: Σ G·A × area"), &elementwise, cam, Tol::F32);
            assert_close(&format!("{case}: the tensors' cam"), &tensors.cam, cam, Tol::F32);
            let sum: f64 = cam.iter().map(|&v| f64::from(v)).sum::<f64>() / area as f64;
            let expected = f64::from(e.logits[row]) - f64::from(gap.bias[row]);
            let size = cam.iter().map(|v| f64::from(v.abs())).sum::<f64>() / area as f64;
            assert!(
                (sum - expected).abs() <= 1e-5 * size.max(expected.abs()),
                "{case}: {sum} against {expected}"
            );
        }
    }
}

/// Law 2: one backward pass contains the evidence for both classes.
#[test]
fn class_0_is_class_1_negated() {
    for case in ["gap_cnn", "gap_cnn_bn", "no_gap", "saturated"] {
        let (model, pixels, n) = open(case);
        let methods = ["grad_cam", "gradient"];
        let one = explain(&model, &pixels, n, &methods, Target::Class(1));
        let zero = explain(&model, &pixels, n, &methods, Target::Class(0));
        for (one, zero) in one.iter().zip(&zero) {
            for (a, b) in one.attributions.iter().zip(&zero.attributions) {
                let negated: Vec<f32> = b.values.iter().map(|v| -v).collect();
                assert_close(&format!("{case}: {}", a.method.id), &negated, &a.values, Tol::EXACT);
            }
        }
    }
}

/// Law 2: if the gradient of the sigmoid vanishes, the map of the logit is unchanged.
#[test]
fn a_saturated_output_keeps_its_picture() {
    let (model, pixels, n) = open("saturated");
    let mut calm = model.clone();
    let dense: Vec<_> = calm
        .graph
        .value_ids()
        .filter(|&v| calm.graph.value(v).name.contains("dense") && calm.graph.constant(v).is_some())
        .collect();
    assert!(!dense.is_empty());
    for value in dense {
        let old = calm.graph.constant(value).unwrap().clone();
        let scaled = old.as_f32().unwrap().iter().map(|v| v / 128.0).collect();
        assert!(calm.graph.set_constant(value, Tensor::f32(old.shape(), scaled)));
    }
    let loud = explain(&model, &pixels, n, &["grad_cam"], Target::Predicted);
    let calm = explain(&calm, &pixels, n, &["grad_cam"], Target::Predicted);
    for (loud, calm) in loud.iter().zip(&calm) {
        assert!(loud.logits[0].abs() > 30.0 && calm.logits[0].abs() < 1.0, "{:?}", loud.logits);
        let scaled: Vec<f32> = calm.attributions[0].values.iter().map(|v| v * 128.0).collect();
        assert_close("the map", &scaled, &loud.attributions[0].values, Tol::F32);
        assert!(loud.attributions[0].raw_max > 0.0, "the picture would be empty");
    }
}

/// Settings for every method with the fewest passes that can reveal a mistake: more than one batch where that is
/// cheap.
fn few_passes() -> MethodSettings {
    let mut settings = MethodSettings::with_seed(3);
    for set in [
        "samples=3",
        "steps=3",
        "rise.masks=35",
        "occlusion.window=16",
        "occlusion.stride=16",
        "lime.samples=40",
        "kernel_shap.samples=40",
        "kernel_shap.segments=6",
        "kernel_shap.shapes=slic",
        "hsic.samples=40",
        "sobol.grid=3",
        "iterations=5",
    ] {
        settings.set(set).unwrap();
    }
    settings
}

/// Law 5: threads and batches do not change a single bit.
#[test]
fn the_same_bits_for_any_threads_and_batches() {
    for case in ["gap_cnn", "branchy"] {
        let (model, pixels, n) = open(case);
        let bits = |explanations: &[ImageAttributions]| -> Vec<u32> {
            let of = |e: &ImageAttributions| {
                let maps = e.attributions.iter().flat_map(|a| a.values.clone());
                maps.chain(e.logits.clone()).map(f32::to_bits).collect::<Vec<_>>()
            };
            explanations.iter().flat_map(of).collect()
        };
        // Many samples at a time, to distribute them over threads; multi-pass methods distribute the passes of each
        // sample.
        let (formulas, passes): (Vec<_>, Vec<_>) =
            METHODS.iter().copied().partition(|m| matches!(m.work, Work::Graph(_)));
        for (methods, times) in [(formulas, 11), (passes, 1)] {
            let options = ExplainOptions {
                skip_inapplicable: true,
                settings: few_passes(),
                ..ExplainOptions::new(&methods)
            };
            let explainer = Explainer::new(&model, &options).unwrap();
            let many = pixels.repeat(times);
            let expected = bits(&explainer.explain(&many, n * times).unwrap());
            for threads in [1, 2, 7] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let all = pool.install(|| explainer.explain(&many, n * times).unwrap());
                assert!(bits(&all) == expected, "{case}: {threads} threads");
                let one = pixels.len() / n;
                let alone: Vec<_> = pool.install(|| {
                    many.chunks(one).flat_map(|image| explainer.explain(image, 1).unwrap()).collect()
                });
                assert!(bits(&alone) == expected, "{case}: one image at a time with {threads} threads");
            }
        }
    }
}

/// Law 6: a model that is saved and reopened gives the same explanations, bit for bit.
#[test]
fn writing_and_opening_changes_nothing() {
    for case in ["gap_cnn", "gap_cnn_bn", "branchy", "no_gap"] {
        let (model, pixels, n) = open(case);
        let bytes = model.to_onnx().unwrap();
        let again = Model::from_graph(heatlens::graph::onnx::read(bytes.clone()).unwrap()).unwrap();
        assert_eq!(again.to_onnx().unwrap(), bytes, "{case}: a second writing gives the same bytes");
        assert_eq!((&again.class_names, &again.preprocessing), (&model.class_names, &model.preprocessing));
        let methods = ["grad_cam", "guided_grad_cam"];
        let before = explain(&model, &pixels, n, &methods, Target::Predicted);
        for (a, b) in before.iter().zip(explain(&again, &pixels, n, &methods, Target::Predicted)) {
            assert_eq!(a.logits, b.logits, "{case}");
            for (a, b) in a.attributions.iter().zip(&b.attributions) {
                assert_close(case, &b.values, &a.values, Tol::EXACT);
            }
        }
    }
}

/// Empty maps have a reason.
#[test]
fn a_map_without_evidence_has_a_reason() {
    let (model, pixels, n) = open("dead_image");
    let explained = explain(&model, &pixels, n, &["grad_cam", "gradient"], Target::Class(1));
    let reasons: Vec<_> = explained.iter().map(|e| e.attributions[0].zero).collect();
    assert_eq!(reasons[0], Some(ZeroMap::DeadLayer));
    assert_eq!(reasons[1], Some(ZeroMap::AllAgainst));
    assert_eq!(explained[0].attributions[1].zero, Some(ZeroMap::NoPixel));
    let probability = ExplainOptions {
        target: Target::Class(1),
        score: heatlens::explain::Score::Probability,
        ..ExplainOptions::new(&[find("grad_cam").unwrap()])
    };
    let (model, pixels, n) = open("saturated");
    let saturated = Explainer::new(&model, &probability).unwrap().explain(&pixels, n).unwrap();
    assert_eq!(
        saturated[0].attributions[0].zero,
        Some(ZeroMap::Saturated),
        "a saturated sigmoid has no gradient"
    );
}
