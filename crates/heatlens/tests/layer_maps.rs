//! Compares every layer map with its paper's formula, implemented directly in double precision on the layer's
//! activations and gradients from PyTorch.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss)] // tests may panic

mod common;

use common::{Tol, assert_close, golden, npy};
use heatlens::explain::{Compat, ExplainOptions, Explainer, Score, Target};
use heatlens::graph::Tensor;
use heatlens::method::{MethodSettings, find};
use heatlens::model::Model;
use heatlens::predict::Predictor;
use heatlens::random::{Key, Use};

const CASES: &[&str] = &["gap_cnn", "gap_cnn_bn", "branchy", "no_gap", "saturated", "dead_image"];

/// The layer of one image: channels × positions of activations and gradients.
struct Planes {
    a: Vec<Vec<f64>>,
    g: Vec<Vec<f64>>,
    width: usize,
}

fn open(case: &str) -> (Model, Vec<f32>, usize) {
    let model = Model::open(&golden(case).join("model.onnx")).unwrap();
    let (shape, pixels) = npy(&golden(case).join("input.npy"));
    (model, pixels, shape[0])
}

fn planes(case: &str) -> Vec<Planes> {
    let (shape, a) = npy(&golden(case).join("expected_conv_output.npy"));
    let (_, g) = npy(&golden(case).join("expected_conv_grad.npy"));
    let &[_, c, h, w] = shape.as_slice() else { panic!("{shape:?}") };
    let split = |all: &[f32]| -> Vec<Vec<f64>> {
        all.chunks(h * w).map(|plane| plane.iter().map(|&v| f64::from(v)).collect()).collect()
    };
    let images = a.chunks(c * h * w).zip(g.chunks(c * h * w));
    images.map(|(a, g)| Planes { a: split(a), g: split(g), width: w }).collect()
}

fn options(id: &str) -> ExplainOptions {
    ExplainOptions { target: Target::Class(1), ..ExplainOptions::new(&[find(id).unwrap()]) }
}

/// Options as published, with the logit as the explained score.
fn published(id: &str) -> ExplainOptions {
    ExplainOptions { compat: Some(Compat::Captum), ..options(id) }
}

fn maps(model: &Model, pixels: &[f32], n: usize, options: &ExplainOptions) -> Vec<Vec<f32>> {
    let explained = Explainer::new(model, options).unwrap().explain(pixels, n).unwrap();
    explained.into_iter().map(|mut e| e.attributions.remove(0).values).collect()
}

/// Compares a method with a formula in every case.
fn check(id: &str, formula: impl Fn(&Planes) -> Vec<f64>) {
    let mut alive = 0;
    for case in CASES {
        let (model, pixels, n) = open(case);
        let found = maps(&model, &pixels, n, &options(id));
        for (i, (found, planes)) in found.iter().zip(planes(case)).enumerate() {
            let expected: Vec<f32> = formula(&planes).into_iter().map(|v| v as f32).collect();
            alive += usize::from(expected.iter().any(|v| *v != 0.0));
            assert_close(&format!("{id}: {case}, image {i}"), found, &expected, Tol::FRAMEWORK);
        }
    }
    assert!(alive > 12, "{id}: most maps are empty, which proves nothing");
}

fn sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

fn mean(values: &[f64]) -> f64 {
    sum(values) / values.len() as f64
}

/// Returns Σ over channels of `weight` times the activations.
fn weigh(p: &Planes, mut weight: impl FnMut(&[f64], &[f64]) -> f64) -> Vec<f64> {
    let mut map = vec![0.0; p.a[0].len()];
    for (a, g) in p.a.iter().zip(&p.g) {
        let w = weight(a, g);
        map.iter_mut().zip(a).for_each(|(m, a)| *m += w * a);
    }
    map
}

/// Returns Σ over channels of `f` of activation and gradient, position by position.
fn place_by_place(p: &Planes, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    (0..p.a[0].len()).map(|i| p.a.iter().zip(&p.g).map(|(a, g)| f(a[i], g[i])).sum()).collect()
}

#[test]
fn hires_cam() {
    check("hires_cam", |p| place_by_place(p, |a, g| a * g));
}

#[test]
fn element_wise_grad_cam() {
    check("element_wise_grad_cam", |p| place_by_place(p, |a, g| (a * g).max(0.0)));
}

#[test]
fn layer_cam() {
    check("layer_cam", |p| place_by_place(p, |a, g| g.max(0.0) * a));
}

#[test]
fn xgrad_cam() {
    check("xgrad_cam", |p| {
        weigh(p, |a, g| {
            let total = sum(a);
            if total == 0.0 { 0.0 } else { a.iter().zip(g).map(|(a, g)| a * g / total).sum() }
        })
    });
}

#[test]
fn grad_cam_pp() {
    check("grad_cam_pp", |p| {
        weigh(p, |a, g| {
            let total = sum(a);
            let alpha = |g: f64| g * g / (2.0 * g * g + total * g * g * g);
            g.iter().filter(|g| **g > 0.0).map(|&g| alpha(g) * g).sum()
        })
    });
}

#[test]
fn fem() {
    check("fem", |p| {
        let mut map = vec![0.0; p.a[0].len()];
        for a in &p.a {
            let m = mean(a);
            let deviation = mean(&a.iter().map(|v| (v - m).powi(2)).collect::<Vec<_>>()).sqrt();
            for (sum, v) in map.iter_mut().zip(a) {
                // A position at the threshold may fall on either side in single precision.
                assert!((v - m - 2.0 * deviation).abs() > 1e-7 * m.abs() || deviation == 0.0);
                *sum += if *v >= m + 2.0 * deviation { m } else { 0.0 };
            }
        }
        map
    });
}

/// Returns the projection on the first principal direction, by many power iterations on a matrix over positions.
fn first_component(kernel: &[Vec<f64>], like: &[f64]) -> Vec<f64> {
    let n = kernel.len();
    let product = |u: &[f64]| -> Vec<f64> {
        kernel.iter().map(|row| row.iter().zip(u).map(|(k, u)| k * u).sum()).collect()
    };
    let mut u: Vec<f64> = (0..n).map(|i| 1.0 + (i as f64 * 0.7).sin()).collect();
    for _ in 0..3000 {
        let next = product(&u);
        let size = sum(&next.iter().map(|v| v * v).collect::<Vec<_>>()).sqrt();
        if size == 0.0 {
            return vec![0.0; n];
        }
        let next: Vec<f64> = next.into_iter().map(|v| v / size).collect();
        let change = next.iter().zip(&u).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
        u = next;
        if change < 1e-14 {
            break;
        }
    }
    let eigenvalue: f64 = product(&u).iter().zip(&u).map(|(k, u)| k * u).sum();
    let agreement: f64 = u.iter().zip(like).map(|(u, l)| u * l).sum();
    let scale = eigenvalue.abs().sqrt() * if agreement < 0.0 { -1.0 } else { 1.0 };
    u.into_iter().map(|v| v * scale).collect()
}

/// Returns the inner products of the positions' centred features, and their sums over channels.
fn centred(planes: &[Vec<f64>]) -> (Vec<Vec<f64>>, Vec<f64>) {
    let centred: Vec<Vec<f64>> = planes
        .iter()
        .map(|a| {
            let m = mean(a);
            a.iter().map(|v| v - m).collect()
        })
        .collect();
    let n = planes[0].len();
    let inner = |i: usize, j: usize| centred.iter().map(|a| a[i] * a[j]).sum();
    let gram = (0..n).map(|i| (0..n).map(|j| inner(i, j)).collect()).collect();
    let like = (0..n).map(|i| centred.iter().map(|a| a[i]).sum()).collect();
    (gram, like)
}

#[test]
fn eigen_cam() {
    check("eigen_cam", |p| {
        let (gram, like) = centred(&p.a);
        first_component(&gram, &like)
    });
}

#[test]
fn eigen_grad_cam() {
    check("eigen_grad_cam", |p| {
        let product: Vec<Vec<f64>> =
            p.a.iter().zip(&p.g).map(|(a, g)| a.iter().zip(g).map(|(a, g)| a * g).collect()).collect();
        let (gram, like) = centred(&product);
        first_component(&gram, &like)
    });
}

#[test]
fn kpca_cam() {
    check("kpca_cam", |p| {
        let (gram, like) = centred(&p.a);
        if like.iter().all(|v| *v == 0.0) {
            return vec![0.0; like.len()]; // the rounding error of a constant kernel is not a component
        }
        let channels = p.a.len() as f64;
        let kernel: Vec<Vec<f64>> =
            gram.iter().map(|row| row.iter().map(|v| (v / channels + 1.0).tanh()).collect()).collect();
        let rows: Vec<f64> = kernel.iter().map(|row| mean(row)).collect();
        let all = mean(&rows);
        let n = kernel.len();
        let shifted: Vec<Vec<f64>> =
            (0..n).map(|i| (0..n).map(|j| kernel[i][j] - rows[i] - rows[j] + all).collect()).collect();
        first_component(&shifted, &like)
    });
}

/// Closed-form values for a model with a pooling head.
struct Gap {
    weights: Vec<f64>,
    area: f64,
}

fn gap(model: &Model, class: usize) -> Gap {
    let head = model.gap_head().unwrap();
    let row = if model.head.outputs == 1 { 0 } else { class };
    let weights = head.weights[row * head.channels..(row + 1) * head.channels].iter();
    let area = model.default_layer().unwrap().shape[1..].iter().product::<usize>();
    Gap { weights: weights.map(|&w| f64::from(w)).collect(), area: area as f64 }
}

#[test]
fn ablation_and_recipro_cam_on_a_pooling_head() {
    for case in ["gap_cnn", "gap_cnn_bn", "branchy", "saturated"] {
        let (model, pixels, n) = open(case);
        let gap = gap(&model, 1);
        let ablation = maps(&model, &pixels, n, &published("ablation_cam"));
        let recipro = maps(&model, &pixels, n, &published("recipro_cam"));
        let logits = Predictor::new(&model).unwrap().logits(&pixels, n).unwrap();
        let outputs = model.head.outputs;
        for (i, p) in planes(case).iter().enumerate() {
            let y = f64::from(logits[i * outputs + usize::from(outputs > 1)]);
            let cam: Vec<f64> = (0..p.a[0].len())
                .map(|j| p.a.iter().zip(&gap.weights).map(|(a, w)| w * a[j]).sum())
                .collect();
            let bias = y - sum(&cam) / gap.area;
            let mut k = 0;
            let expected = weigh(p, |a, _| {
                k += 1;
                gap.weights[k - 1] * sum(a) / gap.area / y.abs()
            });
            let close = |what: &str, found: &[f32], expected: &[f64]| {
                let expected: Vec<f32> = expected.iter().map(|&v| v as f32).collect();
                assert_close(&format!("{what}: {case}, image {i}"), found, &expected, Tol::FRAMEWORK);
            };
            close("ablation_cam", &ablation[i], &expected);
            let alone: Vec<f64> = cam.iter().map(|c| bias + c / gap.area).collect();
            close("recipro_cam", &recipro[i], &alone);
        }
    }
}

/// On a pooling head, contributions add up: a position and, by the binomial kernel, shares of its neighbours.
#[test]
fn recipro_cam_with_neighbours() {
    let (model, pixels, n) = open("gap_cnn_bn");
    let gap = gap(&model, 1);
    let mut chosen = options("recipro_cam");
    chosen.settings.set("recipro_cam.kernel=gaussian").unwrap();
    let found = maps(&model, &pixels, n, &chosen);
    let alone = maps(&model, &pixels, n, &options("recipro_cam"));
    let [_, h, w] = model.default_layer().unwrap().shape;
    for (i, p) in planes("gap_cnn_bn").iter().enumerate() {
        let cam: Vec<f64> = (0..h * w)
            .map(|j| p.a.iter().zip(&gap.weights).map(|(a, w)| w * a[j] / gap.area).sum())
            .collect();
        let bias = f64::from(alone[i][0]) - cam[0];
        let at = |y: usize, x: usize, dy: isize, dx: isize| {
            let (y, x) = (y.checked_add_signed(dy)?, x.checked_add_signed(dx)?);
            (y < h && x < w).then(|| cam[y * w + x])
        };
        let kernel = [[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]];
        let mut expected = Vec::new();
        for (y, x) in (0..h * w).map(|j| (j / w, j % w)) {
            let mut kept = bias;
            for (dy, row) in (-1..=1).zip(kernel) {
                for (dx, share) in (-1..=1).zip(row) {
                    kept += share * at(y, x, dy, dx).unwrap_or(0.0);
                }
            }
            expected.push(kept as f32);
        }
        assert_close(&format!("image {i}"), &found[i], &expected, Tol::FRAMEWORK);
    }
}

/// In the middle of a network, silencing a channel is equivalent to zeroing its weights in the next layer.
#[test]
fn ablation_cam_before_a_convolution() {
    let (model, pixels, n) = open("branchy");
    let layer = model.layer("join_relu").unwrap();
    let options = ExplainOptions { layers: vec![layer.clone()], tensors: true, ..published("ablation_cam") };
    let explained = Explainer::new(&model, &options).unwrap().explain(&pixels, n).unwrap();
    let behind = model.graph.node(model.graph.uses().of(layer.value)[0]);
    let (weights, groups) = (behind.inputs[1].unwrap(), 4);
    let old = model.graph.constant(weights).unwrap().clone();
    let &[m, inner, kh, kw] = old.shape() else { panic!() };
    let [channels, h, w] = layer.shape;
    assert_eq!(inner * groups, channels);
    let logits = Predictor::new(&model).unwrap().logits(&pixels, n).unwrap();
    let mut expected = vec![vec![0.0f32; h * w]; n];
    for k in 0..channels {
        let mut cut = model.clone();
        let mut values = old.as_f32().unwrap().to_vec();
        for row in 0..m {
            for column in 0..inner {
                if row / (m / groups) * inner + column == k {
                    let at = (row * inner + column) * kh * kw;
                    values[at..at + kh * kw].fill(0.0);
                }
            }
        }
        assert!(cut.graph.set_constant(weights, Tensor::f32(old.shape(), values)));
        let without = Predictor::new(&cut).unwrap().logits(&pixels, n).unwrap();
        for i in 0..n {
            let (y, yk) = (logits[i * 3 + 1], without[i * 3 + 1]);
            let plane = &explained[i].tensors.as_ref().unwrap().conv_output[k * h * w..(k + 1) * h * w];
            expected[i].iter_mut().zip(plane).for_each(|(sum, a)| *sum += (y - yk) / y.abs() * a);
        }
    }
    for (i, e) in explained.iter().enumerate() {
        let what = format!("image {i}");
        assert_close(&what, &e.attributions[0].values, &expected[i], Tol::FRAMEWORK);
    }
}

/// Logits are piecewise linear in these layers, so ShapleyCAM is Grad-CAM; for the probability σ(z) of a pooling
/// head, H·A = σ″(z) (z − b) w ÷ area.
#[test]
fn shapley_cam() {
    let (model, pixels, n) = open("gap_cnn_bn");
    let linear = maps(&model, &pixels, n, &options("shapley_cam"));
    let grad_cam = maps(&model, &pixels, n, &options("grad_cam"));
    assert_eq!(linear, grad_cam);
    let curved = ExplainOptions { score: Score::Probability, ..options("shapley_cam") };
    let found = maps(&model, &pixels, n, &curved);
    let logits = Predictor::new(&model).unwrap().logits(&pixels, n).unwrap();
    let gap = gap(&model, 1);
    let mut counts = false;
    for (i, p) in planes("gap_cnn_bn").iter().enumerate() {
        let z = f64::from(logits[i]);
        let s = 1.0 / (1.0 + (-z).exp());
        let (first, second) = (s * (1.0 - s), s * (1.0 - s) * (1.0 - 2.0 * s));
        let without_bias: f64 = p.a.iter().zip(&gap.weights).map(|(a, w)| w * mean(a)).sum();
        let mut k = 0;
        let expected = weigh(p, |_, _| {
            k += 1;
            gap.weights[k - 1] / gap.area * (first - 0.5 * second * without_bias)
        });
        let expected: Vec<f32> = expected.into_iter().map(|v| v as f32).collect();
        counts |= (0.5 * second * without_bias).abs() > 1e-3 * first;
        assert_close(&format!("image {i}"), &found[i], &expected, Tol::FRAMEWORK);
    }
    assert!(counts, "the curvature counts nowhere");
}

/// Grad-CAM is linear in the target.
#[test]
fn finer_cam() {
    let (model, pixels, n) = open("branchy");
    let logits = Predictor::new(&model).unwrap().logits(&pixels, n).unwrap();
    let of_class = |class: usize| {
        maps(&model, &pixels, n, &ExplainOptions { target: Target::Class(class), ..options("grad_cam") })
    };
    let each = [of_class(0), of_class(1), of_class(2)];
    for references in [1usize, 2, 3] {
        let mut settings = MethodSettings::default();
        settings.set(&format!("finer_cam.references={references}")).unwrap();
        settings.set("gamma=0.5").unwrap();
        let found = maps(&model, &pixels, n, &ExplainOptions { settings, ..options("finer_cam") });
        for i in 0..n {
            let z = &logits[i * 3..i * 3 + 3];
            let mut others = [0, 2];
            others.sort_by(|&a, &b| (z[a] - z[1]).abs().total_cmp(&(z[b] - z[1]).abs()));
            let used = references.min(2);
            let mut expected = each[1][i].clone();
            for &class in &others[..used] {
                for (e, other) in expected.iter_mut().zip(&each[class][i]) {
                    *e -= 0.5 * other / used as f32;
                }
            }
            assert_close(
                &format!("{references} references, image {i}"),
                &found[i],
                &expected,
                Tol::FRAMEWORK,
            );
        }
    }
    let (binary, pixels, n) = open("gap_cnn");
    let found = maps(&binary, &pixels, n, &options("finer_cam"));
    let plain = maps(&binary, &pixels, n, &options("grad_cam"));
    for (found, plain) in found.iter().zip(&plain) {
        let expected: Vec<f32> = plain.iter().map(|v| 1.6 * v).collect();
        assert_close("one logit: γ = 0.6 of the other class, −z", found, &expected, Tol::F32);
    }
}

#[test]
fn smooth_grad_cam_pp() {
    for case in ["branchy", "no_gap"] {
        let (model, pixels, n) = open(case);
        let mut settings = MethodSettings::with_seed(3);
        settings.set("noise=0").unwrap();
        settings.set("samples=2").unwrap();
        let still = maps(&model, &pixels, n, &ExplainOptions { settings, ..options("smooth_grad_cam_pp") });
        for (still, plain) in still.iter().zip(&maps(&model, &pixels, n, &options("grad_cam_pp"))) {
            assert_close(&format!("{case}: without noise"), still, plain, Tol::FRAMEWORK);
        }
        let mut settings = MethodSettings::with_seed(3);
        settings.set("samples=3").unwrap();
        let found = maps(&model, &pixels, n, &ExplainOptions { settings, ..options("smooth_grad_cam_pp") });
        let tensors = ExplainOptions { tensors: true, ..options("grad_cam") };
        let explainer = Explainer::new(&model, &tensors).unwrap();
        for (image, found) in pixels.chunks(pixels.len() / n).zip(&found) {
            let [a, _] = planes_of(&explainer, image);
            let range = image.iter().copied().fold(f32::MIN, f32::max)
                - image.iter().copied().fold(f32::MAX, f32::min);
            let mut powers = vec![[0.0f64; 3]; a.len()];
            for sample in 0..3 {
                let mut rng = Key::new(3, Use::Explain).at(sample).rng();
                let noisy: Vec<f32> =
                    image.iter().map(|p| p + (0.15 * f64::from(range) * rng.normal()) as f32).collect();
                for (power, g) in powers.iter_mut().zip(&planes_of(&explainer, &noisy)[1]) {
                    (0..3).for_each(|p| power[p] += g.powi(p as i32 + 1) / 3.0);
                }
            }
            let area = found.len();
            let mut expected = vec![0.0f64; area];
            for (plane, powers) in a.chunks(area).zip(powers.chunks(area)) {
                let total = sum(plane);
                let weight: f64 = powers
                    .iter()
                    .filter(|p| 2.0 * p[1] + total * p[2] != 0.0)
                    .map(|p| p[1] / (2.0 * p[1] + total * p[2]) * p[0].max(0.0))
                    .sum();
                expected.iter_mut().zip(plane).for_each(|(sum, a)| *sum += weight * a);
            }
            let expected: Vec<f32> = expected.into_iter().map(|v| v as f32).collect();
            assert_close(case, found, &expected, Tol::FRAMEWORK);
        }
    }
}

/// Returns activations and gradients of one image.
fn planes_of(explainer: &Explainer, image: &[f32]) -> [Vec<f64>; 2] {
    let tensors = explainer.explain(image, 1).unwrap().remove(0).tensors.unwrap();
    [tensors.conv_output, tensors.conv_grad].map(|t| t.into_iter().map(f64::from).collect())
}

#[test]
fn controls() {
    let (model, pixels, n) = open("branchy");
    let [channels, h, w] = model.shape();
    let edges = maps(&model, &pixels, n, &options("edges"));
    for (image, found) in pixels.chunks(pixels.len() / n).zip(&edges) {
        let grey = |y: i32, x: i32| -> f64 {
            let at = y.clamp(0, h as i32 - 1) as usize * w + x.clamp(0, w as i32 - 1) as usize;
            (0..channels).map(|c| f64::from(image[c * h * w + at])).sum::<f64>() / channels as f64
        };
        let slope = |y: i32, x: i32| -> f64 {
            let across = |y: i32| grey(y, x + 1) - grey(y, x - 1);
            let down = |x: i32| grey(y + 1, x) - grey(y - 1, x);
            let gx = across(y - 1) + 2.0 * across(y) + across(y + 1);
            let gy = down(x - 1) + 2.0 * down(x) + down(x + 1);
            gx.hypot(gy)
        };
        let expected: Vec<f32> = (0..h * w).map(|i| slope((i / w) as i32, (i % w) as i32) as f32).collect();
        assert_close("edges", found, &expected, Tol::FRAMEWORK);
    }
    let centre = &maps(&model, &pixels, n, &options("centre"))[0];
    let from_middle = |i: usize, len: usize| (2 * i + 1) as f64 / len as f64 - 1.0;
    let bump: Vec<f32> = (0..h * w)
        .map(|i| from_middle(i / w, h).hypot(from_middle(i % w, w)))
        .map(|r| (-r * r / (2.0 * 0.5 * 0.5)).exp() as f32)
        .collect();
    assert_close("centre", centre, &bump, Tol::F32);
    let random = |seed: u64| {
        let settings = MethodSettings::with_seed(seed);
        maps(&model, &pixels, n, &ExplainOptions { settings, ..options("random") })
    };
    let all = random(1).concat();
    let (low, high) = all.iter().fold((0.0f32, 0.0f32), |(l, h), &v| (l.min(v), h.max(v)));
    assert!((-0.5..-0.4).contains(&low) && (0.4..0.5).contains(&high), "{low} {high}");
    assert_eq!(random(1), random(1));
    assert_ne!(random(1), random(2));
    assert_ne!(random(1)[0], random(1)[1], "every image its own noise");
    assert!(planes("branchy").iter().all(|p| p.width > 1));
}
