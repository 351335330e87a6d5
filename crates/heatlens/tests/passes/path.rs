//! Methods that follow a path from a baseline to the image.

use heatlens::random::{Key, Use};

use crate::common::{Tol, assert_close, golden, npy};
use crate::nets::{Case, SEED, numbers, twins};

/// Roots of the Legendre polynomial by bisection of its explicit sum, and weights by integrating the Lagrange
/// polynomials: slow, and independent of Newton's method.
fn quadrature(n: usize) -> Vec<[f64; 2]> {
    let legendre = |x: f64| {
        let mut p = vec![1.0, x];
        for k in 1..n {
            p.push(((2 * k + 1) as f64 * x * p[k] - k as f64 * p[k - 1]) / (k + 1) as f64);
        }
        p[n]
    };
    let mut roots = Vec::new();
    let cells = 4000;
    for cell in 0..cells {
        let at = |i: usize| -1.0 + 2.0 * i as f64 / cells as f64 + 1e-9;
        let (mut low, mut high) = (at(cell), at(cell + 1));
        if legendre(low) * legendre(high) > 0.0 {
            continue;
        }
        for _ in 0..80 {
            let middle = 0.5 * (low + high);
            if legendre(low) * legendre(middle) <= 0.0 { high = middle } else { low = middle }
        }
        roots.push(0.5 * (low + high));
    }
    assert_eq!(roots.len(), n);
    let weight = |i: usize| {
        let lagrange = |x: f64| -> f64 {
            (0..n).filter(|&j| j != i).map(|j| (x - roots[j]) / (roots[i] - roots[j])).product()
        };
        let steps = 20_000;
        (0..steps).map(|s| lagrange(-1.0 + (2 * s + 1) as f64 / steps as f64)).sum::<f64>() / steps as f64
    };
    (0..n).map(|i| [0.5 * (roots[i] + 1.0), weight(i)]).collect()
}

fn mean_image(image: &[f32], area: usize) -> Vec<f32> {
    let mean = |plane: &[f32]| plane.iter().map(|&v| f64::from(v)).sum::<f64>() / plane.len() as f64;
    image.chunks(area).flat_map(|plane| vec![mean(plane) as f32; area]).collect()
}

#[test]
fn integrated_gradients_are_the_weighted_gradients_on_the_way() {
    let points = quadrature(8);
    for case in twins() {
        let [_, h, w] = case.shape();
        for word in ["zero", "mean"] {
            let found = case.explain("integrated_gradients", &["steps=8", &format!("baseline={word}")]);
            for (image, found) in case.images.iter().zip(found) {
                let start = if word == "zero" { vec![0.0; image.len()] } else { mean_image(image, h * w) };
                let mut expected = vec![0.0f64; image.len()];
                for [t, weight] in &points {
                    let between =
                        |(&x, &b): (&f32, &f32)| (f64::from(b) + t * (f64::from(x) - f64::from(b))) as f32;
                    let on_the_way: Vec<f32> = image.iter().zip(&start).map(between).collect();
                    for (sum, g) in expected.iter_mut().zip(case.gradient(&on_the_way)) {
                        *sum += weight * f64::from(g);
                    }
                }
                let times = |(i, g): (usize, &f64)| (g * f64::from(image[i] - start[i])) as f32;
                let expected: Vec<f32> = expected.iter().enumerate().map(times).collect();
                assert_close(&format!("{} from {word}", case.name), &found, &expected, Tol::FRAMEWORK);
            }
        }
    }
}

/// The files come from `tools/golden/make_passes.py`, which explains why they have separate images.
#[test]
fn integrated_gradients_agree_with_captum() {
    for twin in [Case::twin("branchy", 2), Case::twin("gap_cnn_bn", 1), Case::twin("no_gap", 1)] {
        let file = |what: &str| npy(&golden("passes").join(format!("{}_{what}.npy", twin.name))).1;
        let (images, expected) = (file("on_the_way"), file("integrated_gradients"));
        let case = Case::new(twin.name, twin.model, &images, twin.class);
        let found = case.explain("integrated_gradients", &["steps=20"]).concat();
        assert_close(case.name, &found, &expected, Tol::FRAMEWORK);
    }
}

#[test]
fn integrated_gradients_sum_to_the_difference_of_scores() {
    for case in [Case::twin("branchy", 1), Case::twin("gap_cnn_bn", 1), Case::twin("no_gap", 1)] {
        let [_, h, w] = case.shape();
        for word in ["zero", "mean"] {
            let found = case.explain("integrated_gradients", &["steps=300", &format!("baseline={word}")]);
            for (i, (image, found)) in case.images.iter().zip(found).enumerate() {
                let start = if word == "zero" { vec![0.0; image.len()] } else { mean_image(image, h * w) };
                let difference = case.score(image) - case.score(&start);
                let sum: f64 = found.iter().map(|&v| f64::from(v)).sum();
                let size: f64 = found.iter().map(|&v| f64::from(v.abs())).sum();
                let off = (sum - difference).abs();
                // A small difference of large positive and negative parts has their rounding error.
                assert!(
                    off <= 1e-3 * difference.abs().max(0.2 * size),
                    "{} {word} {i}: {sum} {difference}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn on_a_linear_model_paths_give_weight_times_difference() {
    let shape @ [c, h, w] = [2, 12, 9];
    let weights = numbers(c * h * w, 3);
    let case = Case::linear(shape, &weights, 0.5);
    let image = &case.images[0];
    let times = |start: &[f32]| -> Vec<f32> {
        (0..image.len()).map(|i| weights[i] * (image[i] - start[i])).collect()
    };
    let zero = times(&vec![0.0; image.len()]);
    for steps in ["steps=1", "steps=2", "steps=50"] {
        let found = case.explain("integrated_gradients", &[steps, "baseline=zero"]);
        assert_close(steps, &found[0], &zero, Tol::F32);
    }
    let mean = times(&mean_image(image, h * w));
    assert_close("mean", &case.explain("integrated_gradients", &["baseline=mean"])[0], &mean, Tol::F32);
    let mut rng = Key::new(SEED, Use::Explain).rng();
    let [low, high] = [f32::min, f32::max].map(|pick| image.iter().copied().reduce(pick).unwrap());
    let noise: Vec<f32> = image.iter().map(|_| low + (high - low) * rng.uniform()).collect();
    let found = case.explain("integrated_gradients", &["baseline=uniform"]);
    assert_close("uniform", &found[0], &times(&noise), Tol::F32);
}

#[test]
fn a_baseline_that_is_the_image_leaves_nothing() {
    let case = Case::twin("dead_image", 1);
    let zero = case.explain("integrated_gradients", &[]);
    assert!(zero[0].iter().all(|v| *v == 0.0), "image 0 is black");
    let mean = case.explain("integrated_gradients", &["baseline=mean"]);
    assert!(mean[1].iter().all(|v| v.abs() < 1e-6) && mean[2].iter().any(|v| *v != 0.0));
    let blur = case.explain("integrated_gradients", &["baseline=blur"]);
    assert!(blur[1].iter().all(|v| v.abs() < 1e-6), "image 1 is even");
}

/// Gaussian blur with the image mirrored at its borders, from the definition.
fn blurred(image: &[f32], [_, h, w]: [usize; 3], sigma: f64) -> Vec<f32> {
    let line = |values: Vec<f64>| -> Vec<f64> {
        let n = values.len() as i64;
        let reach = (4.0 * sigma).ceil() as i64;
        let weight = |d: i64| if sigma == 0.0 { 1.0 } else { (-0.5 * (d as f64 / sigma).powi(2)).exp() };
        let total: f64 = (-reach..=reach).map(weight).sum();
        let at = |i: i64| {
            let mut i = i;
            while i < 0 || i >= n {
                i = if i < 0 { -1 - i } else { 2 * n - 1 - i };
            }
            values[i as usize]
        };
        (0..n).map(|i| (-reach..=reach).map(|d| weight(d) / total * at(i + d)).sum()).collect()
    };
    let mut result = Vec::new();
    for plane in image.chunks(h * w) {
        let rows: Vec<Vec<f64>> =
            plane.chunks(w).map(|row| line(row.iter().map(|&v| f64::from(v)).collect())).collect();
        let columns: Vec<Vec<f64>> = (0..w).map(|x| line(rows.iter().map(|row| row[x]).collect())).collect();
        result.extend((0..h * w).map(|i| columns[i % w][i / w] as f32));
    }
    result
}

#[test]
fn blur_ig_follows_the_gradients_from_blurred_to_sharp() {
    for case in twins() {
        let shape @ [_, h, w] = case.shape();
        let largest = 0.1 * h.min(w) as f64;
        let found = case.explain("blur_ig", &["steps=5", "blur=0.1"]);
        for (i, (image, found)) in case.images.iter().zip(found).enumerate() {
            let level = |step: f64| blurred(image, shape, largest * step / 5.0);
            let mut expected = vec![0.0; image.len()];
            for step in 0..5 {
                let gradient = case.gradient(&level(step as f64 + 0.5));
                let (sharper, softer) = (level(step as f64), level(step as f64 + 1.0));
                for (p, sum) in expected.iter_mut().enumerate() {
                    *sum += gradient[p] * (sharper[p] - softer[p]);
                }
            }
            let pad = |v: &[f32]| [v, &[1e-3]].concat();
            assert_close(&format!("{} image {i}", case.name), &pad(&found), &pad(&expected), Tol(1e-3));
        }
    }
}

#[test]
fn blur_ig_of_a_linear_model_needs_one_step() {
    let shape @ [c, h, w] = [2, 10, 13];
    let weights = numbers(c * h * w, 6);
    let case = Case::linear(shape, &weights, 0.0);
    let soft = blurred(&case.images[0], shape, 2.0);
    let expected: Vec<f32> = (0..c * h * w).map(|i| weights[i] * (case.images[0][i] - soft[i])).collect();
    for steps in ["steps=1", "steps=9"] {
        assert_close(steps, &case.explain("blur_ig", &[steps, "blur=0.2"])[0], &expected, Tol::FRAMEWORK);
    }
}

/// The published algorithm on whole arrays, with the lowest quantile recomputed in each round.
fn guided(case: &Case, image: &[f32], steps: usize, fraction: f64, distance: f64) -> Vec<f32> {
    let n = image.len();
    let target: Vec<f64> = image.iter().map(|&v| f64::from(v)).collect();
    let (mut x, mut sums) = (vec![0.0; n], vec![0.0; n]);
    let length = |x: &[f64]| x.iter().zip(&target).map(|(x, t)| (t - x).abs()).sum::<f64>();
    let total = length(&x);
    if total == 0.0 {
        return vec![0.0; n];
    }
    for step in 0..steps {
        let actual = case.gradient(&x.iter().map(|&v| v as f32).collect::<Vec<_>>());
        let mut size: Vec<f64> = actual.iter().map(|g| f64::from(g.abs())).collect();
        let alpha = (step + 1) as f64 / steps as f64;
        let (low, high) = ((alpha - distance).max(0.0), (alpha + distance).min(1.0));
        let wanted = total * (1.0 - alpha);
        let mut gamma = f64::INFINITY;
        while gamma > 1.0 {
            let old = x.clone();
            for i in 0..n {
                let own = if target[i] == 0.0 { high } else { x[i] / target[i] };
                if own < low {
                    x[i] = low * target[i];
                }
            }
            let now = length(&x);
            if (wanted - now).abs() <= 1e-9 {
                (0..n).for_each(|i| sums[i] += (x[i] - old[i]) * f64::from(actual[i]));
                break;
            }
            for i in 0..n {
                if (x[i] - high * target[i]).abs() <= 1e-12 {
                    size[i] = f64::INFINITY;
                }
            }
            let mut sorted = size.clone();
            sorted.sort_by(f64::total_cmp);
            let threshold = sorted[(fraction * (n - 1) as f64).floor() as usize];
            let chosen: Vec<bool> = size.iter().map(|s| *s <= threshold && s.is_finite()).collect();
            let room: f64 = (0..n).filter(|&i| chosen[i]).map(|i| (x[i] - high * target[i]).abs()).sum();
            gamma = if room > 0.0 { (now - wanted) / room } else { f64::INFINITY };
            for i in (0..n).filter(|&i| chosen[i]) {
                x[i] += gamma.min(1.0) * (high * target[i] - x[i]);
            }
            (0..n).for_each(|i| sums[i] += (x[i] - old[i]) * f64::from(actual[i]));
        }
    }
    sums.into_iter().map(|s| s as f32).collect()
}

#[test]
fn guided_ig_moves_the_least_gradients_first() {
    for case in [Case::twin("branchy", 1), Case::twin("gap_cnn_bn", 0), Case::twin("dead_image", 1)] {
        let found = case.explain("guided_ig", &["steps=12", "fraction=0.2", "distance=0.15"]);
        for (i, (image, found)) in case.images.iter().zip(found).enumerate() {
            let expected = guided(&case, image, 12, 0.2, 0.15);
            assert_close(&format!("{} image {i}", case.name), &found, &expected, Tol(2e-3));
        }
    }
}

#[test]
fn guided_ig_reaches_the_image_and_is_integrated_gradients_on_a_linear_model() {
    let shape @ [c, h, w] = [2, 12, 9];
    let weights = numbers(c * h * w, 8);
    let case = Case::linear(shape, &weights, 0.5);
    let expected: Vec<f32> = (0..c * h * w).map(|i| weights[i] * case.images[0][i]).collect();
    for set in ["steps=1", "steps=30", "fraction=0", "fraction=1", "distance=0", "distance=1"] {
        assert_close(set, &case.explain("guided_ig", &[set])[0], &expected, Tol::F32);
    }
    let twin = Case::twin("branchy", 1);
    for (image, found) in twin.images.iter().zip(twin.explain("guided_ig", &["steps=200"])) {
        let difference = twin.score(image) - twin.score(&vec![0.0; image.len()]);
        let sum: f64 = found.iter().map(|&v| f64::from(v)).sum();
        let size: f64 = found.iter().map(|&v| f64::from(v.abs())).sum();
        // The path turns towards small gradients, and each step uses the gradient at its start.
        assert!((sum - difference).abs() < 0.15 * size, "{sum} {difference} {size}");
    }
}

#[test]
fn expected_gradients_average_over_references() {
    for case in twins() {
        let shape @ [_, h, w] = case.shape();
        for word in ["shuffled", "uniform", "blurred"] {
            let found = case.explain("expected_gradients", &["samples=6", &format!("reference={word}")]);
            for (image, found) in case.images.iter().zip(found) {
                let mut expected = vec![0.0f64; image.len()];
                for sample in 0..6 {
                    let key = Key::new(SEED, Use::Explain).at(sample);
                    let mut rng = key.rng();
                    let t = rng.uniform_f64();
                    let reference: Vec<f32> = match word {
                        "shuffled" => {
                            let mut order: Vec<usize> = (0..h * w).collect();
                            rng.shuffle(&mut order);
                            (0..image.len())
                                .map(|i| image[i / (h * w) * (h * w) + order[i % (h * w)]])
                                .collect()
                        }
                        "uniform" => {
                            let mut rng = key.at(0).rng();
                            let [low, high] =
                                [f32::min, f32::max].map(|pick| image.iter().copied().reduce(pick).unwrap());
                            image.iter().map(|_| low + (high - low) * rng.uniform()).collect()
                        }
                        _ => blurred(image, shape, 0.2 * h.min(w) as f64 * rng.uniform_f64()),
                    };
                    let between: Vec<f32> = image
                        .iter()
                        .zip(&reference)
                        .map(|(&x, &r)| (f64::from(r) + t * (f64::from(x) - f64::from(r))) as f32)
                        .collect();
                    for (p, g) in case.gradient(&between).iter().enumerate() {
                        expected[p] += f64::from(*g) * f64::from(image[p] - reference[p]) / 6.0;
                    }
                }
                let expected: Vec<f32> = expected.iter().map(|&v| v as f32).collect();
                let pad = |v: &[f32]| [v, &[1e-3]].concat();
                assert_close(&format!("{} {word}", case.name), &pad(&found), &pad(&expected), Tol(1e-3));
            }
        }
    }
}
