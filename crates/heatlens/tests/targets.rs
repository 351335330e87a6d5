//! Targets of explanations, and combinations of several maps.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss)] // tests may panic

mod common;

use common::{Tol, assert_close, golden, npy};
use heatlens::bilinear::resize;
use heatlens::explain::{
    Compat, ExplainOptions, Explainer, Fusion, ImageAttributions, Score, Target, ZeroMap,
};
use heatlens::graph::op::conv::Conv;
use heatlens::graph::op::softmax::Softmax;
use heatlens::graph::op::unary::UnaryFunction;
use heatlens::graph::op::window::Window;
use heatlens::graph::{Builder, Fact, Graph, Shape, Tensor, ValueId};
use heatlens::method::{METHODS, MethodSettings, Setting, Work, find};
use heatlens::model::{Model, Placing};

fn open(case: &str) -> (Model, Vec<f32>, usize) {
    let model = Model::open(&golden(case).join("model.onnx")).unwrap();
    let (shape, pixels) = npy(&golden(case).join("input.npy"));
    (model, pixels, shape[0])
}

/// Maps are upsampled evenly, as in the reference implementations; `placement.rs` tests the other way.
fn of_class(id: &str, class: usize) -> ExplainOptions {
    let settings = MethodSettings::default().placed(Placing::Resize);
    ExplainOptions { target: Target::Class(class), settings, ..ExplainOptions::new(&[find(id).unwrap()]) }
}

fn explain(model: &Model, pixels: &[f32], n: usize, options: &ExplainOptions) -> Vec<ImageAttributions> {
    Explainer::new(model, options).unwrap().explain(pixels, n).unwrap()
}

fn maps(model: &Model, pixels: &[f32], n: usize, options: &ExplainOptions) -> Vec<Vec<f32>> {
    explain(model, pixels, n, options).into_iter().map(|mut e| e.attributions.remove(0).values).collect()
}

fn sorted(logits: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order
}

/// Builds a convolution with four channels, ReLU, their means, and dense weights; `end` follows the logits.
fn conv_net(dense: &[f32], end: impl Fn(&mut Builder<'_>, ValueId) -> ValueId) -> Model {
    let mut graph = Graph::new("net");
    let image = graph.add_input("image", Fact::f32(Shape::batched(&[1, 8, 8])));
    let mut b = Builder::new(&mut graph, "net");
    let kernels = (0..36).map(|i| ((i * 37 % 19) as f32 - 7.0) / 19.0).collect();
    let kernels = b.constant(Tensor::f32(&[4, 1, 3, 3], kernels));
    let seen = b.apply(Conv { window: Window::new(&[3, 3]), group: 1 }, &[image, kernels]).unwrap();
    let active = b.relu(seen).unwrap();
    let means = b.mean(active, &[2, 3], false).unwrap();
    let dense = b.constant(Tensor::f32(&[4, dense.len() / 4], dense.to_vec()));
    let logits = b.matmul(means, dense).unwrap();
    let output = end(&mut b, logits);
    graph.set_outputs(&[output]);
    Model::from_graph(graph).unwrap()
}

fn waves() -> Vec<f32> {
    (0..64).map(|i| 0.5 + 0.5 * ((i % 8) as f32 * 0.9 + (i / 8) as f32).sin()).collect()
}

/// The probability is explained, whether the file ends with it or with logits.
#[test]
fn a_file_of_logits_has_probabilities_too() {
    let several: Vec<f32> = (0..12).map(|i| ((i * 5 % 12) as f32 - 5.0) / 3.0).collect();
    let one = [1.5, -0.5, 0.75, -1.0];
    let softmax = |b: &mut Builder<'_>, z: ValueId| b.apply(Softmax { axis: 1, log: false }, &[z]).unwrap();
    let log = |b: &mut Builder<'_>, z: ValueId| b.apply(Softmax { axis: 1, log: true }, &[z]).unwrap();
    let sigmoid = |b: &mut Builder<'_>, z: ValueId| b.unary(UnaryFunction::Sigmoid, z).unwrap();
    for (id, class) in [("grad_cam", 0), ("grad_cam", 1), ("occlusion", 1)] {
        let logit = of_class(id, class);
        let probability = ExplainOptions { score: Score::Probability, ..logit.clone() };
        let map = |model: &Model, options: &ExplainOptions| maps(model, &waves(), 1, options).remove(0);
        for (ends, bare) in [
            (vec![conv_net(&several, softmax)], conv_net(&several, |_, z| z)),
            (vec![conv_net(&one, sigmoid)], conv_net(&one, |_, z| z)),
            (vec![conv_net(&several, softmax)], conv_net(&several, log)),
        ] {
            assert_eq!(map(&bare, &probability), map(&ends[0], &probability), "{id} of class {class}");
            assert_close(id, &map(&bare, &logit), &map(&ends[0], &logit), Tol::F32);
            let (p, z) = (map(&bare, &probability), map(&bare, &logit));
            let differs = p.iter().zip(&z).any(|(p, z)| (p - z).abs() > 1e-3 * z.abs().max(1e-3));
            assert!(differs, "{id} of class {class}: the probability is no logit");
        }
    }
}

/// The reason for an empty map is correct: here every product of activation and gradient is negative.
#[test]
fn evidence_against_the_class_is_called_so() {
    let against = [-0.5, -1.0, -0.25, -2.0, -1.0, -0.5, -0.75, -0.25];
    let model = conv_net(&against, |_, z| z);
    let reason = |id: &str, options: &dyn Fn(ExplainOptions) -> ExplainOptions| {
        explain(&model, &waves(), 1, &options(of_class(id, 0))).remove(0).attributions[0].zero
    };
    let plain = |options: ExplainOptions| options;
    for id in ["grad_cam", "hires_cam", "layer_cam", "grad_cam_pp", "element_wise_grad_cam"] {
        assert_eq!(reason(id, &plain), Some(ZeroMap::AllAgainst), "{id}");
    }
    assert_eq!(reason("guided_grad_cam", &plain), Some(ZeroMap::NoPositiveCam));
    let said = ZeroMap::NoPositiveCam.to_string();
    assert!(!said.contains("logit") && said.contains("Grad-CAM is positive nowhere"), "{said}");
    // In a counterfactual explanation, evidence for the class alone leaves nothing that lowers its score.
    let turned = |options: ExplainOptions| ExplainOptions { counterfactual: true, ..options };
    let model = conv_net(&against.map(|w| -w), |_, z| z);
    let explained = explain(&model, &waves(), 1, &turned(of_class("grad_cam", 0)));
    assert_eq!(explained[0].attributions[0].zero, Some(ZeroMap::AllFor));
    // A score that no window changes: the image is black, and so is the cover.
    let explained = explain(&model, &[0.0; 64], 1, &of_class("occlusion", 0));
    assert_eq!(explained[0].attributions[0].zero, Some(ZeroMap::Unmoved));
}

/// Defaults adapt to small images, with a note; the user's settings do not.
#[test]
fn defaults_fit_small_images() {
    let dense: Vec<f32> = (0..12).map(|i| ((i * 5 % 12) as f32 - 5.0) / 3.0).collect();
    let model = conv_net(&dense, |_, z| z);
    let mut few = MethodSettings::default();
    for setting in ["masks=20", "sobol.samples=2", "hsic.samples=20", "steps=3", "lime.samples=70"] {
        few.set(setting).unwrap();
    }
    for (id, names) in [
        ("occlusion", vec!["occlusion.window is 2", "occlusion.stride is 1"]),
        ("extremal_perturbation", vec!["extremal_perturbation.grid is 8"]),
        ("rise", vec![]),
        ("sobol", vec![]),
        ("hsic", vec![]),
        ("lime", vec![]),
    ] {
        let options = ExplainOptions { settings: few.clone(), ..of_class(id, 0) };
        let explainer = Explainer::new(&model, &options).unwrap();
        let notes = explainer.notes().join("\n");
        assert_eq!(explainer.notes().len(), names.len(), "{id}: {notes}");
        assert!(names.iter().all(|name| notes.contains(name)), "{id}: {notes}");
        let map = &explainer.explain(&waves(), 1).unwrap()[0].attributions[0];
        assert!(map.raw_min < map.raw_max, "{id}: a map that says nothing of the place");
    }
    for (id, set) in [("occlusion", "window=9"), ("rise", "grid=9"), ("lime", "segments=65")] {
        let mut settings = few.clone();
        settings.set(&format!("{id}.{set}")).unwrap();
        let error = Explainer::new(&model, &ExplainOptions { settings, ..of_class(id, 0) }).unwrap_err();
        assert!(error.to_string().contains(set), "{error}");
    }
}

/// The runner-up, one class against another and the counterfactual, for a formula and a multi-pass method.
#[test]
fn targets_are_rows_of_the_scores() {
    let (model, pixels, n) = open("branchy");
    // Rows of the logits: log odds, the default of methods that need scores only, are not linear in them.
    let of_class = |id: &str, class: usize| ExplainOptions {
        compat: (id == "recipro_cam").then_some(Compat::Captum),
        ..of_class(id, class)
    };
    for id in ["grad_cam", "gradient", "recipro_cam"] {
        let each: Vec<_> = (0..3).map(|k| maps(&model, &pixels, n, &of_class(id, k))).collect();
        let base = of_class(id, 0);
        let runner_up =
            explain(&model, &pixels, n, &ExplainOptions { target: Target::RunnerUp, ..base.clone() });
        let against = explain(
            &model,
            &pixels,
            n,
            &ExplainOptions { target: Target::Predicted, against: Some(Target::RunnerUp), ..base.clone() },
        );
        let against_2 =
            maps(&model, &pixels, n, &ExplainOptions { against: Some(Target::Class(2)), ..base.clone() });
        let lower = maps(&model, &pixels, n, &ExplainOptions { counterfactual: true, ..base });
        for i in 0..n {
            let order = sorted(&runner_up[i].logits);
            assert_eq!(runner_up[i].attributions[0].class, order[1]);
            assert_close(id, &runner_up[i].attributions[0].values, &each[order[1]][i], Tol::F32);
            let difference = |a: usize, b: usize| -> Vec<f32> {
                each[a][i].iter().zip(&each[b][i]).map(|(a, b)| a - b).collect()
            };
            assert_close(
                id,
                &against[i].attributions[0].values,
                &difference(order[0], order[1]),
                Tol::FRAMEWORK,
            );
            assert_close(id, &against_2[i], &difference(0, 2), Tol::FRAMEWORK);
            let negated: Vec<f32> = each[0][i].iter().map(|v| -v).collect();
            assert_close(id, &lower[i], &negated, Tol::F32);
        }
    }
    let options = ExplainOptions { against: Some(Target::All), ..of_class("grad_cam", 0) };
    assert!(Explainer::new(&model, &options).unwrap_err().to_string().contains("one class"));
}

/// A single logit has a runner-up too: the other class.
#[test]
fn one_logit_has_two_sides() {
    let (model, pixels, n) = open("gap_cnn_bn");
    let options = |target| ExplainOptions { target, ..of_class("grad_cam", 1) };
    let predicted = explain(&model, &pixels, n, &options(Target::Predicted));
    let runner_up = explain(&model, &pixels, n, &options(Target::RunnerUp));
    for (a, b) in predicted.iter().zip(&runner_up) {
        let (a, b) = (&a.attributions[0], &b.attributions[0]);
        assert_eq!(a.class + b.class, 1);
        let negated: Vec<f32> = a.values.iter().map(|v| -v).collect();
        assert_close("the other side", &b.values, &negated, Tol::EXACT);
    }
}

/// All classes at once give the same maps as each class alone.
#[test]
fn all_classes_at_once() {
    let (model, pixels, n) = open("branchy");
    let options = ExplainOptions { target: Target::All, ..of_class("grad_cam", 0) };
    for (k, expected) in (0..3).map(|k| maps(&model, &pixels, n, &of_class("grad_cam", k))).enumerate() {
        for (all, expected) in explain(&model, &pixels, n, &options).iter().zip(&expected) {
            assert_eq!(&all.attributions[k].values, expected);
        }
    }
}

#[test]
fn layers_are_fused() {
    let (model, pixels, n) = open("branchy");
    let layers: Vec<_> = ["join_relu", "average"].iter().map(|name| model.layer(name).unwrap()).collect();
    let both = ExplainOptions { layers: layers.clone(), ..of_class("grad_cam", 1) };
    let apart = explain(&model, &pixels, n, &both);
    let [_, h, w] = layers[0].shape;
    assert!(h * w > layers[1].shape[1..].iter().product());
    for (name, _, fusion) in Fusion::ALL {
        let fused = explain(&model, &pixels, n, &ExplainOptions { fusion: Some(fusion), ..both.clone() });
        for (fused, apart) in fused.iter().zip(&apart) {
            assert_eq!(
                (fused.attributions.len(), fused.attributions[0].shape.as_slice()),
                (1, [h, w].as_slice())
            );
            let part = |i: usize| {
                let map = &apart.attributions[i];
                let positive: Vec<f32> =
                    map.values.iter().map(|v| v.max(0.0) / map.raw_max.max(1e-30)).collect();
                resize(&positive, [map.shape[0], map.shape[1]], [h, w])
            };
            let expected: Vec<f32> = part(0)
                .into_iter()
                .zip(part(1))
                .map(|(a, b)| match fusion {
                    Fusion::Mean => (a + b) / 2.0,
                    Fusion::Max => a.max(b),
                    Fusion::TanhMax => (2.0 * a).tanh().max((2.0 * b).tanh()),
                    Fusion::Product => a * b,
                })
                .collect();
            assert_close(name, &fused.attributions[0].values, &expected, Tol::F32);
        }
    }
}

/// Six copies, each explained for the original's class, with mirrored maps mirrored back.
#[test]
fn maps_are_averaged_over_copies() {
    let (model, pixels, n) = open("branchy");
    let [c, h, w] = model.shape();
    for id in ["grad_cam", "gradient"] {
        let base = ExplainOptions { target: Target::Predicted, ..of_class(id, 0) };
        let found = explain(&model, &pixels, n, &ExplainOptions { augment: true, ..base });
        for (found, image) in found.iter().zip(pixels.chunks(c * h * w)) {
            let map = &found.attributions[0];
            let width = *map.shape.last().unwrap();
            let mut expected = vec![0.0; map.values.len()];
            for mirrored in [false, true] {
                for factor in [0.9f32, 1.0, 1.1] {
                    let mut copy: Vec<f32> = image.iter().map(|p| p * factor).collect();
                    if mirrored {
                        copy.chunks_mut(w).for_each(<[f32]>::reverse);
                    }
                    let mut part = maps(&model, &copy, 1, &of_class(id, found.predicted)).remove(0);
                    if mirrored {
                        part.chunks_mut(width).for_each(<[f32]>::reverse);
                    }
                    expected.iter_mut().zip(part).for_each(|(sum, v)| *sum += v / 6.0);
                }
            }
            assert_close(id, &map.values, &expected, Tol::FRAMEWORK);
        }
    }
}

/// Eigen-smoothing of Σ G ⊙ A is EigenGradCAM.
#[test]
fn eigen_smoothing_takes_the_first_component() {
    let (model, pixels, n) = open("branchy");
    let smooth = maps(&model, &pixels, n, &ExplainOptions { eigen_smooth: true, ..of_class("hires_cam", 1) });
    let eigen = maps(&model, &pixels, n, &of_class("eigen_grad_cam", 1));
    for (a, b) in smooth.iter().zip(&eigen) {
        assert_close("hires_cam", a, b, Tol::EXACT);
    }
}

#[test]
fn other_libraries_last_steps() {
    let (model, pixels, n) = open("branchy");
    let compat = ExplainOptions { compat: Some(Compat::PytorchGradCam), ..of_class("grad_cam", 1) };
    let explainer = Explainer::new(&model, &compat).unwrap();
    let [_, h, w] = model.shape();
    assert_eq!(explainer.maps()[0].shape, [h, w]);
    for e in explainer.explain(&pixels, n).unwrap() {
        let map = &e.attributions[0];
        assert_eq!(map.shape, [h, w]);
        assert!(map.raw_min == 0.0 && (map.raw_max - 1.0).abs() < 1e-6, "{} {}", map.raw_min, map.raw_max);
    }
}

/// Reduces the variance of each normalization, and its scale by the square root, so much that its epsilon matters.
fn shrink_deviations(model: &mut Model) {
    let norms = model.graph.nodes().iter().filter(|n| n.op.onnx_form().name == "BatchNormalization");
    let values: Vec<_> = norms.flat_map(|n| [(n.inputs[1], 1e-2f32), (n.inputs[4], 1e-4)]).collect();
    for (value, factor) in values.into_iter().map(|(value, factor)| (value.unwrap(), factor)) {
        let old = model.graph.constant(value).unwrap().clone();
        let small = old.as_f32().unwrap().iter().map(|v| v * factor).collect();
        assert!(model.graph.set_constant(value, Tensor::f32(old.shape(), small)));
    }
}

/// FullGrad: the contributions of the image and of every bias, each rescaled, upsampled and summed.
#[test]
fn full_grad() {
    for case in ["gap_cnn", "gap_cnn_bn", "no_gap"] {
        let (mut model, pixels, n) = open(case);
        shrink_deviations(&mut model);
        let [c, h, w] = model.shape();
        let found = maps(&model, &pixels, n, &of_class("full_grad", 1));
        let rescaled = |product: Vec<f64>, planes: usize, ph: usize, pw: usize| -> Vec<f32> {
            let size: Vec<f64> = product.into_iter().map(f64::abs).collect();
            let (low, high) = size.iter().fold((f64::MAX, 0.0f64), |(l, h), &v| (l.min(v), h.max(v)));
            let mut sum = vec![0.0f32; ph * pw];
            for plane in size.chunks(ph * pw) {
                sum.iter_mut()
                    .zip(plane)
                    .for_each(|(s, v)| *s += ((v - low) / (high - low).max(1e-300)) as f32);
            }
            assert_eq!(size.len(), planes * ph * pw);
            resize(&sum, [ph, pw], [h, w])
        };
        let biased: Vec<_> = model
            .graph
            .nodes()
            .iter()
            .filter(|n| {
                let op = n.op.onnx_form().name;
                (op == "Conv" && n.inputs.len() > 2 && n.inputs[2].is_some()) || op == "BatchNormalization"
            })
            .collect();
        assert!(biased.len() >= 2, "{case}");
        let gradient = explain(&model, &pixels, n, &of_class("gradient", 1));
        let mut expected: Vec<Vec<f32>> = Vec::new();
        for (image, e) in pixels.chunks(c * h * w).zip(&gradient) {
            let g = &e.attributions[0].values;
            let product = image.iter().zip(g).map(|(x, g)| f64::from(*x) * f64::from(*g)).collect();
            expected.push(rescaled(product, c, h, w));
        }
        for node in biased {
            let stored =
                |i: usize| -> Vec<f64> { model.graph.constant(node.inputs[i].unwrap()).unwrap().to_f64() };
            let bias = match node.op.onnx_form().name {
                "Conv" => stored(2),
                _ => {
                    let [scale, bias, mean, variance] = [1, 2, 3, 4].map(stored);
                    let one = |k: usize| bias[k] - mean[k] * scale[k] / (variance[k] + 1e-5).sqrt();
                    (0..bias.len()).map(one).collect()
                }
            };
            let layer = model.layers().into_iter().find(|l| l.value == node.outputs[0]).unwrap();
            let [planes, ph, pw] = layer.shape;
            let options = ExplainOptions { layers: vec![layer], tensors: true, ..of_class("grad_cam", 1) };
            for (sum, e) in expected.iter_mut().zip(explain(&model, &pixels, n, &options)) {
                let g = e.tensors.unwrap().conv_grad;
                let product = (0..g.len()).map(|i| f64::from(g[i]) * bias[i / (ph * pw)]).collect();
                sum.iter_mut().zip(rescaled(product, planes, ph, pw)).for_each(|(s, v)| *s += v);
            }
        }
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(case, found, expected, Tol::FRAMEWORK);
        }
    }
}

/// RefineCAM is the fused product of Grad-CAM++ over the stages.
#[test]
fn refine_cam() {
    let (model, pixels, n) = open("branchy");
    let stages = model.stage_layers();
    assert_eq!(stages.last().unwrap().value, model.default_layer().unwrap().value);
    for count in [1, 2, 3] {
        let mut settings = MethodSettings::default();
        settings.set(&format!("refine_cam.layers={count}")).unwrap();
        let refined = ExplainOptions { settings: settings.clone(), ..of_class("refine_cam", 1) };
        let layers = stages[stages.len() - count..].to_vec();
        let fusion = Some(Fusion::Product);
        let product = ExplainOptions { layers, fusion, settings, ..of_class("grad_cam_pp", 1) };
        let expected = explain(&model, &pixels, n, &product);
        for (found, expected) in explain(&model, &pixels, n, &refined).iter().zip(expected) {
            let (found, expected) = (&found.attributions[0], &expected.attributions[0]);
            assert!(found.raw_max > 0.0);
            // A single layer is not fused: its raw map, on a different scale.
            let largest = if count == 1 { expected.raw_max } else { 1.0 };
            let expected: Vec<f32> = expected.values.iter().map(|v| v.max(0.0) / largest).collect();
            assert_close("refine_cam", &found.values, &expected, Tol::FRAMEWORK);
        }
    }
}

/// Concepts: non-negative, of the requested number, and together they reconstruct the activations.
#[test]
fn deep_feature_factorization() {
    let (model, pixels, n) = open("gap_cnn_bn");
    let mut settings = MethodSettings::default();
    settings.set("concepts=2").unwrap();
    let two = ExplainOptions { settings, ..of_class("deep_feature_factorization", 1) };
    for e in explain(&model, &pixels, n, &two) {
        let map = &e.attributions[0];
        assert_eq!(map.shape[0], 2);
        assert!(map.values.iter().all(|v| *v >= 0.0) && map.raw_max > 0.0);
    }
    let mut settings = MethodSettings::default();
    settings.set("concepts=1000").unwrap();
    let options = ExplainOptions { settings, ..of_class("deep_feature_factorization", 1) };
    let error = Explainer::new(&model, &options).unwrap_err().to_string();
    assert!(error.contains("or fewer"), "{error}");
}

/// Invalid settings are rejected with the valid ones.
#[test]
fn settings_are_checked() {
    let mut settings = MethodSettings::default();
    for (wrong, part) in [
        ("nonsense=3", "there is no such parameter"),
        ("fem.gamma=3", "the nearest are k (`heatlens methods fem`"),
        ("cam.k=3", "it has no parameters"),
        ("fem.k=x", "expected a number"),
        ("finer_cam.references=0", "whole number from 1"),
        ("recipro_cam.kernel=square", "single or gaussian"),
        ("k", "NAME=VALUE"),
        ("nobody.k=3", "no method \"nobody\""),
    ] {
        let error = settings.set(wrong).unwrap_err().to_string();
        assert!(error.contains(part), "{wrong}: {error}");
    }
    assert_eq!(settings, MethodSettings::default(), "a refused setting leaves nothing behind");
    settings.set("k=1").unwrap();
    settings.set("fem.k=3").unwrap();
    assert_eq!(settings.of(find("fem").unwrap()).number("k").unwrap(), 3.0);
}

/// Every method runs on every kind of network or says why not; maps never contain NaN.
#[test]
fn every_method_runs_everywhere() {
    for case in ["gap_cnn_bn", "branchy", "no_gap", "dead_image"] {
        let (model, pixels, n) = open(case);
        let mut settings = MethodSettings::default();
        for (method, parameter) in METHODS.iter().flat_map(|m| m.parameters.iter().map(move |p| (m, p))) {
            if matches!(parameter.default, Setting::Count(default) if default > 100) {
                settings.set(&format!("{}.{}=100", method.id, parameter.name)).unwrap();
            }
        }
        let options = ExplainOptions { skip_inapplicable: true, settings, ..ExplainOptions::new(METHODS) };
        let explainer = Explainer::new(&model, &options).unwrap();
        let left_out = explainer.notes().iter().filter(|note| note.starts_with("left out")).count();
        assert!(left_out <= 4, "{case}: {:?}", explainer.notes());
        assert_eq!(explainer.maps().len() + left_out, METHODS.len(), "{case}");
        for e in explainer.explain(&pixels[..pixels.len() / n], 1).unwrap() {
            for map in &e.attributions {
                assert_eq!(map.values.len(), map.shape.iter().product::<usize>());
                assert!(map.values.iter().all(|v| v.is_finite()), "{case}: {}", map.method.id);
            }
        }
    }
    assert!(METHODS.iter().filter(|m| matches!(m.work, Work::Passes(_))).count() >= 4);
}
