//! Methods that vary masks of few cells: shares of variance, dependence, and the best mask of an area.

use heatlens::random::{Key, Use};

use crate::common::{Tol, assert_close};
use crate::nets::{Case, SEED, numbers, twins};

/// With a cell for each pixel a linear score is Σ mᵢ vᵢ, and uniform mᵢ have a part vᵢ² ÷ Σ v² in it.
#[test]
fn sobol_indices_of_a_linear_model_are_shares_of_squares() {
    let weights = numbers(2 * 16, 3);
    let case = Case::linear([2, 4, 4], &weights, 0.7);
    let found = &case.explain("sobol", &["samples=4000", "grid=4"])[0];
    let image = &case.images[0];
    let v: Vec<f32> =
        (0..16).map(|i| 2.0 * (weights[i] * image[i] + weights[16 + i] * image[16 + i])).collect();
    let all: f32 = v.iter().map(|v| v * v).sum();
    for (i, (found, v)) in found.iter().zip(&v).enumerate() {
        let expected = v * v / all;
        assert!((found - expected).abs() < 0.01 + 0.05 * expected, "{i}: {found} against {expected}");
    }
}

/// tr(K H L H) ÷ (N − 1)² with all matrices written out.
#[test]
fn hsic_is_the_trace_of_centred_kernels() {
    const N: usize = 30;
    let case = Case::linear([1, 4, 4], &numbers(16, 9), 0.0);
    let found = &case.explain("hsic", &["samples=30", "grid=4"])[0];
    let masks: Vec<Vec<f64>> = (0..N)
        .map(|number| {
            let mut rng = Key::new(SEED, Use::Explain).at(number as u64).rng();
            (0..16).map(|_| f64::from(u8::from(rng.coin()))).collect()
        })
        .collect();
    let image = &case.images[0];
    let scores: Vec<f64> = masks
        .iter()
        .map(|mask| case.score(&image.iter().zip(mask).map(|(x, m)| x * *m as f32).collect::<Vec<_>>()))
        .collect();
    let mut distances: Vec<f64> = (0..N)
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .map(|(i, j)| (scores[i] - scores[j]).abs())
        .collect();
    distances.sort_by(f64::total_cmp);
    let width = distances[distances.len() / 2];
    let centred = |kernel: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
        let k: Vec<Vec<f64>> = (0..N).map(|i| (0..N).map(|j| kernel(i, j)).collect()).collect();
        let rows: Vec<f64> = k.iter().map(|row| row.iter().sum::<f64>() / N as f64).collect();
        let all = rows.iter().sum::<f64>() / N as f64;
        (0..N).map(|i| (0..N).map(|j| k[i][j] - rows[i] - rows[j] + all).collect()).collect()
    };
    let l = |i: usize, j: usize| (-0.5 * ((scores[i] - scores[j]) / width).powi(2)).exp();
    let expected: Vec<f32> = (0..16)
        .map(|cell| {
            let k = centred(&|i, j| f64::from(u8::from(masks[i][cell] == masks[j][cell])));
            let trace: f64 =
                (0..N).flat_map(|i| (0..N).map(move |j| (i, j))).map(|(i, j)| k[i][j] * l(i, j)).sum();
            (trace / ((N - 1) * (N - 1)) as f64) as f32
        })
        .collect();
    assert_close("hsic", found, &expected, Tol::FRAMEWORK);
}

/// Only a corner counts, and the mask may show a quarter: it shows that corner.
#[test]
fn extremal_perturbation_shows_what_counts() {
    let weights: Vec<f32> = (0..64).map(|i| f32::from(u8::from(i / 8 < 4 && i % 8 < 4))).collect();
    let mut case = Case::linear([1, 8, 8], &weights, 0.3);
    case.images = vec![vec![1.0; 64], vec![0.0; 64]];
    let set = ["grid=4", "area=0.25", "extremal_perturbation.fill=zero"];
    let found = case.explain("extremal_perturbation", &set);
    let at = |y: usize, x: usize| found[0][y * 8 + x];
    assert!(at(1, 1) > 0.9 && at(0, 2) > 0.9, "{:?}", found[0]);
    assert!(at(6, 6) < 0.1 && at(1, 6) < 0.1 && at(6, 1) < 0.1, "{:?}", found[0]);
    assert!(found[1].iter().all(|v| *v == 0.0), "an image that covering leaves as it is has no such part");
}

/// Networks of every kind: finite, of the size that is promised, and not the same for different images.
#[test]
fn they_run_on_every_twin() {
    for case in twins() {
        for (id, set) in [
            ("sobol", vec!["samples=4", "grid=3"]),
            ("hsic", vec!["samples=24", "grid=3"]),
            ("extremal_perturbation", vec!["steps=5", "grid=4"]),
        ] {
            let explainer = case.explainer(id, &set).unwrap();
            let size: usize = explainer.maps()[0].shape.iter().product();
            for map in case.explain(id, &set) {
                assert_eq!(map.len(), size, "{} {id}", case.name);
                assert!(map.iter().all(|v| v.is_finite()), "{} {id}", case.name);
            }
        }
    }
}

#[test]
fn settings_without_sense_are_refused() {
    let case = Case::twin("no_gap", 1);
    for (id, set, said) in [
        ("sobol", "samples=1", "2 or more"),
        ("hsic", "samples=5001", "from 1 to 5000"),
        ("hsic", "grid=33", "from 1 to 32"),
        ("extremal_perturbation", "area=2", "from 0 to 1"),
    ] {
        let refusal = case.explainer(id, &[set]).map(|_| ()).unwrap_err();
        assert!(refusal.contains(said), "{id} {set}: {refusal}");
    }
}
