//! Sobol, HSIC and extremal perturbation: coarse masks.

use heatlens::random::{Key, Use};

use crate::common::{Tol, assert_close};
use crate::nets::{Case, SEED, twins};

/// Upsamples a mask of `side`² cells to the size of the image, half-pixel bilinear, one pixel at a time.
fn enlarged(cells: &[f64], side: usize, [h, w]: [usize; 2]) -> Vec<f64> {
    let place = |i: usize, to: usize| {
        ((i as f64 + 0.5) * side as f64 / to as f64 - 0.5).clamp(0.0, (side - 1) as f64)
    };
    let near = |at: f64, to: usize| (1.0 - (at - to as f64).abs()).max(0.0);
    let pixel = |p: usize| {
        let (v, u) = (place(p / w, h), place(p % w, w));
        cells.iter().enumerate().map(|(i, c)| c * near(v, i / side) * near(u, i % side)).sum()
    };
    (0..h * w).map(pixel).collect()
}

fn seen(case: &Case, image: &[f32], cells: &[f64], side: usize) -> Vec<f32> {
    let [_, h, w] = case.shape();
    let mask = enlarged(cells, side, [h, w]);
    image.iter().enumerate().map(|(p, x)| (f64::from(*x) * mask[p % (h * w)]) as f32).collect()
}

/// Returns the radical inverse of a number, with a separate permutation for each digit.
fn halton(number: usize, dimension: usize) -> f64 {
    let prime = (2..).filter(|n| (2..*n).all(|d| n % d != 0)).nth(dimension).unwrap();
    let (mut rest, mut place, mut value) = (number, 1.0 / prime as f64, 0.0);
    for digit in 0.. {
        let mut order: Vec<usize> = (0..prime).collect();
        Key::new(SEED, Use::Explain).at(dimension as u64).at(digit).rng().shuffle(&mut order);
        value += order[rest % prime] as f64 * place;
        rest /= prime;
        place /= prime as f64;
        if place < 1e-8 {
            return value;
        }
    }
    value
}

#[test]
fn sobol_is_jansens_estimator_over_haltons_masks() {
    let (side, samples) = (2, 6);
    for case in twins() {
        let found = case.explain("sobol", &["samples=6", "grid=2"]);
        for (i, image) in case.images.iter().enumerate() {
            let score = |cells: &[f64]| case.score(&seen(&case, image, cells, side));
            let row = |number: usize, first: usize| {
                (first..first + 4).map(|d| halton(number, d)).collect::<Vec<_>>()
            };
            let whole: Vec<f64> = (0..samples).map(|number| score(&row(number, 0))).collect();
            let mean = whole.iter().sum::<f64>() / 6.0;
            let variance = whole.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 5.0;
            let index = |cell: usize| {
                let change = |number: usize| {
                    let mut mixed = row(number, 0);
                    mixed[cell] = row(number, 4)[cell];
                    (whole[number] - score(&mixed)).powi(2)
                };
                let sum: f64 = (0..samples).map(change).sum();
                if variance > 0.0 { (sum / 12.0 / variance) as f32 } else { 0.0 }
            };
            let expected: Vec<f32> = (0..4).map(index).collect();
            assert_close(&format!("{} image {i}", case.name), &found[i], &expected, Tol(1e-3));
        }
    }
}

/// Each cell of a linear model contributes separate variance: total indices are shares that sum to 1.
#[test]
fn sobol_shares_of_a_linear_model_follow_its_squared_terms() {
    let (h, w) = (12, 12);
    let weights = vec![1.0; h * w];
    let mut case = Case::linear([1, h, w], &weights, 0.0);
    // With one cell per pixel, upsampling is the identity: the variance of x·U is x²/12.
    case.images[0].iter_mut().enumerate().for_each(|(i, x)| {
        *x = if i == 30 {
            2.0
        } else if i == 77 {
            1.0
        } else {
            0.0
        }
    });
    let found = &case.explain("sobol", &["samples=2000", "grid=12"])[0];
    assert!((found[30] - 0.8).abs() < 0.05 && (found[77] - 0.2).abs() < 0.02, "{} {}", found[30], found[77]);
    assert!(found.iter().enumerate().all(|(i, v)| i == 30 || i == 77 || *v == 0.0));
}

#[test]
fn hsic_is_the_trace_of_centred_kernels() {
    let (side, n) = (3, 24usize);
    for case in twins() {
        let found = case.explain("hsic", &["samples=24", "grid=3"]);
        for (i, image) in case.images.iter().enumerate() {
            let masks: Vec<Vec<f64>> = (0..n)
                .map(|number| {
                    let mut rng = Key::new(SEED, Use::Explain).at(number as u64).rng();
                    (0..9).map(|_| f64::from(u8::from(rng.coin()))).collect()
                })
                .collect();
            let scores: Vec<f64> = masks.iter().map(|m| case.score(&seen(&case, image, m, side))).collect();
            if scores.iter().all(|y| *y == scores[0]) {
                assert!(found[i].iter().all(|v| *v == 0.0));
                continue;
            }
            let mut distances: Vec<f64> = (0..n)
                .flat_map(|a| (0..a).map(move |b| (a, b)))
                .map(|(a, b)| (scores[a] - scores[b]).abs())
                .collect();
            distances.sort_by(f64::total_cmp);
            let width = distances[distances.len() / 2];
            let product = |a: &[Vec<f64>], b: &[Vec<f64>]| -> Vec<Vec<f64>> {
                (0..n).map(|r| (0..n).map(|c| (0..n).map(|k| a[r][k] * b[k][c]).sum()).collect()).collect()
            };
            let table = |f: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
                (0..n).map(|a| (0..n).map(|b| f(a, b)).collect()).collect()
            };
            let l = table(&|a, b| (-0.5 * ((scores[a] - scores[b]) / width).powi(2)).exp());
            let centre = table(&|a, b| f64::from(u8::from(a == b)) - 1.0 / n as f64);
            let hlh = product(&product(&centre, &l), &centre);
            let of = |cell: usize| {
                let k = table(&|a, b| f64::from(u8::from(masks[a][cell] == masks[b][cell])));
                let khlh = product(&k, &hlh);
                ((0..n).map(|a| khlh[a][a]).sum::<f64>() / 23.0 / 23.0) as f32
            };
            let expected: Vec<f32> = (0..9).map(of).collect();
            assert_close(&format!("{} image {i}", case.name), &found[i], &expected, Tol(1e-3));
        }
    }
}

/// The gradient ascent in plain loops, with the derivative of the mask from its definition.
fn extremal(case: &Case, image: &[f32], side: usize, steps: usize, area: f64) -> Vec<f32> {
    let [_, h, w] = case.shape();
    let n = side * side;
    let range = (case.score(image) - case.score(&vec![0.0; image.len()])).abs();
    if range == 0.0 {
        return vec![0.0; h * w];
    }
    let (mut cells, mut moves) = (vec![0.5f64; n], vec![0.0; n]);
    let parts: Vec<Vec<f64>> = (0..n)
        .map(|i| enlarged(&(0..n).map(|j| f64::from(u8::from(i == j))).collect::<Vec<_>>(), side, [h, w]))
        .collect();
    for step in 0..steps {
        let gradient = case.gradient(&seen(case, image, &cells, side));
        let weight = 20f64.powf(step as f64 / steps as f64);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| cells[b].total_cmp(&cells[a]));
        let top = &order[..(area * n as f64).round() as usize];
        let old = cells.clone();
        for i in 0..n {
            let slope: f64 = (0..image.len())
                .map(|p| f64::from(gradient[p]) * f64::from(image[p]) * parts[i][p % (h * w)])
                .sum();
            let wanted = f64::from(u8::from(top.contains(&i)));
            moves[i] = 0.9 * moves[i] + 0.02 * (n as f64 * slope / range - 2.0 * weight * (old[i] - wanted));
            cells[i] = f64::from((old[i] + moves[i]).clamp(0.0, 1.0) as f32);
        }
    }
    enlarged(&cells, side, [h, w]).into_iter().map(|m| m as f32).collect()
}

#[test]
fn extremal_perturbation_climbs_as_written() {
    for case in [Case::twin("branchy", 1), Case::twin("gap_cnn_bn", 1)] {
        let found = case.explain("extremal_perturbation", &["steps=6", "grid=4", "area=0.25", "fill=zero"]);
        for (i, image) in case.images.iter().enumerate() {
            let expected = extremal(&case, image, 4, 6, 0.25);
            assert_close(&format!("{} image {i}", case.name), &found[i], &expected, Tol(1e-3));
        }
    }
}

#[test]
fn extremal_perturbation_fills_the_area_with_what_counts() {
    let (h, w) = (16, 24);
    let inside = |p: usize| (4..8).contains(&(p / w)) && (12..18).contains(&(p % w));
    let weights: Vec<f32> = (0..h * w).map(|p| if inside(p) { 1.0 } else { 0.01 }).collect();
    let mut case = Case::linear([1, h, w], &weights, 0.0);
    case.images[0].fill(1.0);
    // The cells are 4 by 6 pixels, of which one in 16 counts.
    let found = &case.explain("extremal_perturbation", &["grid=4", "area=0.0625", "fill=zero"])[0];
    assert!(found[5 * w + 14] > 0.8, "{}", found[5 * w + 14]);
    assert!(found[14 * w + 2] < 0.05, "{}", found[14 * w + 2]);
    let even = Case::twin("dead_image", 1).explain("extremal_perturbation", &["steps=2", "grid=4"]);
    assert!(even[0].iter().chain(&even[1]).all(|v| *v == 0.0), "blurring changes nothing of an even image");
}
