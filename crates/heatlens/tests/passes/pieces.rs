//! LIME and Kernel SHAP.

use heatlens::random::{Key, Use};

use crate::common::{Tol, assert_close};
use crate::nets::{Case, SEED, numbers, twins};

/// Returns the rectangle of each pixel, of `rows` by `columns` rectangles.
fn rectangles([_, h, w]: [usize; 3], [rows, columns]: [usize; 2]) -> Vec<usize> {
    let mut labels = vec![usize::MAX; h * w];
    for row in 0..rows {
        for column in 0..columns {
            let from = |i: usize, n: usize, side: usize| (i * side).div_ceil(n);
            for y in from(row, rows, h)..from(row + 1, rows, h) {
                for x in from(column, columns, w)..from(column + 1, columns, w) {
                    labels[y * w + x] = row * columns + column;
                }
            }
        }
    }
    labels
}

/// Returns the score of an image with some pieces shown and the others black or set to the mean.
fn show(case: &Case, image: &[f32], labels: &[usize], shown: &dyn Fn(usize) -> bool, mean: bool) -> f64 {
    let area = labels.len();
    let cover = |plane: &[f32]| {
        let mean = if mean { plane.iter().map(|&v| f64::from(v)).sum::<f64>() / area as f64 } else { 0.0 };
        plane.iter().zip(labels).map(|(&x, &l)| if shown(l) { x } else { mean as f32 }).collect::<Vec<_>>()
    };
    case.score(&image.chunks(area).flat_map(cover).collect::<Vec<_>>())
}

/// Returns the Shapley values from their definition, a sum over all coalitions without the player.
fn shapley(players: usize, value: &dyn Fn(usize) -> f64) -> Vec<f64> {
    let factorial = |n: usize| (1..=n).map(|i| i as f64).product::<f64>();
    let values: Vec<f64> = (0..1 << players).map(value).collect();
    let mut shares = vec![0.0; players];
    for (player, share) in shares.iter_mut().enumerate() {
        for coalition in (0..1usize << players).filter(|c| c >> player & 1 == 0) {
            let others = coalition.count_ones() as usize;
            let weight = factorial(others) * factorial(players - others - 1) / factorial(players);
            *share += weight * (values[coalition | 1 << player] - values[coalition]);
        }
    }
    shares
}

#[test]
fn few_pieces_have_exactly_shapleys_values() {
    // 6 pieces have 62 coalitions besides the empty and the full one.
    for (case, cells) in twins().into_iter().zip([[2, 3], [3, 2], [2, 3], [2, 3]]) {
        let labels = rectangles(case.shape(), cells);
        let found = case.explain("kernel_shap", &["segments=6", "samples=62", "fill=mean"]);
        for (i, image) in case.images.iter().enumerate() {
            let value = |coalition: usize| show(&case, image, &labels, &|l| coalition >> l & 1 == 1, true);
            let shares = shapley(6, &value);
            let expected: Vec<f32> = labels.iter().map(|&l| shares[l] as f32).collect();
            // Shares are sums of score differences, so they have the rounding error of the scores.
            let pad = |v: &[f32]| [v, &[case.score(image) as f32]].concat();
            let what = format!("{} image {i}", case.name);
            assert_close(&what, &pad(&found[i]), &pad(&expected), Tol::FRAMEWORK);
        }
    }
}

#[test]
fn drawn_coalitions_sum_to_the_difference_and_come_near() {
    let case = Case::twin("branchy", 0);
    let labels = rectangles(case.shape(), [2, 4]);
    let drawn = case.explain("kernel_shap", &["segments=8", "samples=200"]);
    let exact = case.explain("kernel_shap", &["segments=8", "samples=254"]);
    for ((image, drawn), exact) in case.images.iter().zip(&drawn).zip(&exact) {
        let of = |map: &[f32], l: usize| f64::from(map[labels.iter().position(|x| *x == l).unwrap()]);
        let sum: f64 = (0..8).map(|l| of(drawn, l)).sum();
        let difference = case.score(image) - case.score(&vec![0.0; image.len()]);
        assert!((sum - difference).abs() < 1e-5, "{sum} {difference}");
        let size = (0..8).map(|l| of(exact, l).abs()).fold(0.0, f64::max);
        for l in 0..8 {
            let off = (of(drawn, l) - of(exact, l)).abs();
            assert!(off > 0.0 && off < 0.15 * size, "piece {l}: {} {}", of(drawn, l), of(exact, l));
        }
    }
}

/// In an additive game, every player receives exactly its own part, whichever coalitions are drawn.
#[test]
fn a_linear_model_gives_each_piece_its_terms() {
    let shape @ [c, h, w] = [2, 12, 15];
    let weights = numbers(c * h * w, 4);
    let case = Case::linear(shape, &weights, 1.0);
    let labels = rectangles(shape, [4, 5]);
    let mut terms = [0.0f64; 20];
    for (p, (x, weight)) in case.images[0].iter().zip(&weights).enumerate() {
        terms[labels[p % (h * w)]] += f64::from(x * weight);
    }
    let expected: Vec<f32> = labels.iter().map(|&l| terms[l] as f32).collect();
    let found = case.explain("kernel_shap", &["segments=20", "samples=300"]);
    assert_close("shap", &found[0], &expected, Tol::FRAMEWORK);
    let found = case.explain("lime", &["segments=20", "samples=300", "ridge=0.000001"]);
    assert_close("lime", &found[0], &expected, Tol::FRAMEWORK);
    // A single piece is the whole image.
    let whole = case.score(&case.images[0]) - 1.0;
    let found = case.explain("kernel_shap", &["segments=1"]);
    assert_close("one", &found[0], &vec![whole as f32; h * w], Tol::F32);
}

#[test]
fn superpixels_share_the_difference_too() {
    let case = Case::twin("branchy", 2);
    let found = case.explain("kernel_shap", &["segments=5", "shapes=slic", "samples=30"]);
    for (image, found) in case.images.iter().zip(found) {
        let mut pieces: Vec<f32> = found.clone();
        pieces.sort_by(f32::total_cmp);
        pieces.dedup();
        assert!((2..=5).contains(&pieces.len()), "{pieces:?}");
        let sum: f64 = pieces.iter().map(|&v| f64::from(v)).sum();
        let difference = case.score(image) - case.score(&vec![0.0; image.len()]);
        assert!((sum - difference).abs() < 1e-5, "{sum} {difference}");
    }
}

/// Solves a linear system by Gaussian elimination with pivoting.
fn eliminate(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for i in 0..n {
        let best = (i..n).max_by(|&a, &b| rows[a][i].abs().total_cmp(&rows[b][i].abs())).unwrap();
        rows.swap(i, best);
        let pivot = rows[i].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let factor = row[i] / pivot[i];
            row.iter_mut().zip(&pivot).for_each(|(r, p)| *r -= factor * p);
        }
    }
    (0..n).map(|i| rows[i][n] / rows[i][i]).collect()
}

#[test]
fn lime_is_the_weighted_ridge_regression() {
    let (samples, width, ridge) = (60, 0.4, 0.5);
    for (case, cells) in twins().into_iter().zip([[2, 3], [3, 2], [2, 3], [2, 3]]) {
        let labels = rectangles(case.shape(), cells);
        let found =
            case.explain("lime", &["segments=6", "samples=60", "width=0.4", "ridge=0.5", "fill=mean"]);
        for (i, image) in case.images.iter().enumerate() {
            // Normal equations over intercept and pieces, with the right-hand side in the last column.
            let mut rows = vec![vec![0.0; 8]; 7];
            for sample in 0..samples {
                let mut rng = Key::new(SEED, Use::Explain).at(sample).rng();
                let shown: Vec<bool> = (0..6).map(|_| sample == 0 || rng.coin()).collect();
                let score = show(&case, image, &labels, &|l| shown[l], true);
                let z: Vec<f64> =
                    [1.0].into_iter().chain(shown.iter().map(|&s| f64::from(u8::from(s)))).collect();
                let inside: f64 = z[1..].iter().sum();
                // Cosine of the angle between z and the vector of ones.
                let cosine = if inside > 0.0 { inside / (inside.sqrt() * 6f64.sqrt()) } else { 0.0 };
                let weight = (-((1.0 - cosine) / width).powi(2)).exp();
                for a in 0..7 {
                    for b in 0..7 {
                        rows[a][b] += weight * z[a] * z[b];
                    }
                    rows[a][7] += weight * z[a] * score;
                }
            }
            (1..7).for_each(|a| rows[a][a] += ridge);
            let solution = eliminate(rows);
            let expected: Vec<f32> = labels.iter().map(|&l| solution[l + 1] as f32).collect();
            let pad = |v: &[f32]| [v, &[case.score(image) as f32]].concat();
            let what = format!("{} image {i}", case.name);
            assert_close(&what, &pad(&found[i]), &pad(&expected), Tol::FRAMEWORK);
        }
    }
}
