//! Methods that walk from an image without information to the image.

use heatlens::random::{Key, Use};

use crate::common::{Tol, assert_close};
use crate::nets::{Case, SEED, numbers, twins};

/// Roots of the Legendre polynomial by bisection of its explicit sum, and weights by integrating the
/// Lagrange polynomials: slow, and nothing like Newton's method.
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
                // What is small beside its positive and negative parts is only known that well.
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
