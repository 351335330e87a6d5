//! Methods that show parts of the image to the model and use the score only.

use heatlens::random::{Key, Use};

use crate::common::{Tol, assert_close, golden, npy};
use crate::nets::{Case, SEED, numbers, twins};

/// Covers windows one by one and counts covers pixel by pixel.
fn occlude(case: &Case, image: &[f32], window: usize, stride: usize, mean: bool) -> Vec<f32> {
    let [c, h, w] = case.shape();
    let whole = case.score(image);
    let (mut sum, mut count) = (vec![0.0; h * w], vec![0.0; h * w]);
    let (mut top, mut last_row) = (0, false);
    while !last_row {
        last_row = top + window >= h;
        let (mut left, mut last_column) = (0, false);
        while !last_column {
            last_column = left + window >= w;
            let inside = |y: usize, x: usize| y >= top && y < top + window && x >= left && x < left + window;
            let mut covered = image.to_vec();
            for k in 0..c {
                let plane = &image[k * h * w..(k + 1) * h * w];
                let average = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / (h * w) as f64;
                for y in 0..h {
                    for x in 0..w {
                        if inside(y, x) {
                            covered[(k * h + y) * w + x] = if mean { average as f32 } else { 0.0 };
                        }
                    }
                }
            }
            let drop = whole - case.score(&covered);
            for y in 0..h {
                for x in 0..w {
                    if inside(y, x) {
                        sum[y * w + x] += drop;
                        count[y * w + x] += 1.0;
                    }
                }
            }
            left += stride;
        }
        top += stride;
    }
    sum.iter().zip(count).map(|(s, n)| (s / n) as f32).collect()
}

#[test]
fn occlusion_is_the_mean_drop_of_the_windows_over_a_pixel() {
    for case in twins() {
        for (window, stride, fill) in [(9, 4, "zero"), (6, 6, "mean"), (11, 7, "zero")] {
            let set = [format!("window={window}"), format!("stride={stride}"), format!("fill={fill}")];
            let found = case.explain("occlusion", &set.each_ref().map(String::as_str));
            for (i, image) in case.images.iter().enumerate() {
                let expected = occlude(&case, image, window, stride, fill == "mean");
                let what = format!("{} {set:?} image {i}", case.name);
                // Drops are score differences, so they have the rounding error of the scores.
                let score = case.score(image) as f32;
                let pad = |v: &[f32]| [v, &[score]].concat();
                assert_close(&what, &pad(&found[i]), &pad(&expected), Tol::F32);
            }
        }
    }
}

/// The files come from `tools/golden/make_passes.py`.
#[test]
fn occlusion_agrees_with_captum() {
    for (name, class, window, stride) in [("branchy", 2, 8, 5), ("gap_cnn_bn", 1, 7, 7), ("no_gap", 1, 9, 4)]
    {
        let (_, expected) = npy(&golden("passes").join(format!("{name}_occlusion.npy")));
        let set = [format!("window={window}"), format!("stride={stride}")];
        let found = Case::twin(name, class).explain("occlusion", &set.each_ref().map(String::as_str));
        assert_close(name, &found.concat(), &expected, Tol::FRAMEWORK);
    }
}

#[test]
fn occluding_a_pixel_of_a_linear_model_takes_its_term_off() {
    let [c, h, w] = [3, 4, 6];
    let weights = numbers(c * h * w, 2);
    let case = Case::linear([c, h, w], &weights, -0.2);
    let found = &case.explain("occlusion", &["window=1", "stride=1"])[0];
    let term = |p: usize| (0..c).map(|k| weights[k * h * w + p] * case.images[0][k * h * w + p]).sum();
    let expected: Vec<f32> = (0..h * w).map(term).collect();
    assert_close("terms", found, &expected, Tol::FRAMEWORK);
}

/// Returns one mask, pixel by pixel from its definition.
fn rise_mask(number: usize, grid: usize, probability: f64, [h, w]: [usize; 2]) -> Vec<f64> {
    let mut rng = Key::new(SEED, Use::Explain).at(number as u64).rng();
    let mut cells = vec![0.0; grid * grid];
    for cell in &mut cells {
        *cell = f64::from(u8::from(f64::from(rng.uniform()) < probability));
    }
    let (ch, cw) = (h.div_ceil(grid), w.div_ceil(grid));
    let (down, right) = (rng.below(ch), rng.below(cw));
    // Pixel i of the upsampled grid is at position (i + ½)/cell·grid/(grid + 1) − ½ of the small one.
    let place = |i: usize, cell: usize| {
        let at = (i as f64 + 0.5) * grid as f64 / ((grid + 1) * cell) as f64 - 0.5;
        at.clamp(0.0, (grid - 1) as f64)
    };
    let mut mask = Vec::new();
    for y in 0..h {
        for x in 0..w {
            let (v, u) = (place(y + down, ch), place(x + right, cw));
            let mut value = 0.0;
            for (i, cell) in cells.iter().enumerate() {
                let near = |at: f64, to: usize| (1.0 - (at - to as f64).abs()).max(0.0);
                value += cell * near(v, i / grid) * near(u, i % grid);
            }
            mask.push(value);
        }
    }
    mask
}

#[test]
fn rise_is_the_score_weighted_mean_of_masks() {
    for case in twins() {
        let [_, h, w] = case.shape();
        let found = case.explain("rise", &["masks=70", "grid=5", "probability=0.4"]);
        for (i, image) in case.images.iter().enumerate() {
            let mut expected = vec![0.0; h * w];
            for number in 0..70 {
                let mask = rise_mask(number, 5, 0.4, [h, w]);
                let seen: Vec<f32> =
                    image.iter().enumerate().map(|(p, x)| x * mask[p % (h * w)] as f32).collect();
                let score = case.score(&seen);
                expected.iter_mut().zip(mask).for_each(|(e, m)| *e += score * m / (0.4 * 70.0));
            }
            let expected: Vec<f32> = expected.into_iter().map(|e| e as f32).collect();
            assert_close(&format!("{} image {i}", case.name), &found[i], &expected, Tol::FRAMEWORK);
        }
    }
}

/// E[y(x ⊙ M) · M(λ)] / p of a linear model is p·(y − b) + b plus (1 − p) times the terms near λ: the only pixel
/// that counts stands out by its term.
#[test]
fn rise_finds_the_one_pixel_that_counts() {
    let (mut weights, h, w) = (vec![0.0; 14 * 21], 14, 21);
    weights[5 * w + 13] = 10.0;
    let mut case = Case::linear([1, h, w], &weights, 0.0);
    case.images[0].fill(1.0);
    let found = &case.explain("rise", &["masks=4000", "grid=7"])[0];
    let best = (0..h * w).max_by(|&a, &b| found[a].total_cmp(&found[b])).unwrap();
    assert!((best / w).abs_diff(5) <= 2 && (best % w).abs_diff(13) <= 3, "{} {}", best / w, best % w);
    let mean = found.iter().sum::<f32>() / found.len() as f32;
    assert!((mean - 5.0).abs() < 0.5, "away from the pixel masks and score are independent: {mean}");
}

/// Methods that use scores only, with settings that make them fast on a small image.
const BLACK_BOXES: [(&str, &[&str]); 4] = [
    ("rise", &["masks=600", "grid=4"]),
    ("occlusion", &["window=2", "stride=1"]),
    ("lime", &["samples=300", "segments=16"]),
    ("kernel_shap", &["samples=300", "segments=16"]),
];

/// The left half is evidence for the class and the right half against it; the signs agree, whatever the level of
/// the scores.
#[test]
fn signs_mean_for_and_against() {
    let weights: Vec<f32> = (0..64).map(|i| if i % 8 < 4 { 0.1 } else { -0.1 }).collect();
    for bias in [-50.0, 0.0, 50.0] {
        let columns = weights.iter().flat_map(|w| [-w, *w]).collect();
        let case = Case::dense([1, 8, 8], columns, [-bias, bias], &[1.0; 64]);
        for (id, set) in BLACK_BOXES {
            let found = case.explain_as_we_do(id, set);
            let half = |left: bool| {
                (0..64).filter(|i| (i % 8 < 4) == left).map(|i| f64::from(found[i])).sum::<f64>()
            };
            assert!(
                half(true) > 0.0 && half(false) < 0.0,
                "{id}, bias {bias}: {} {}",
                half(true),
                half(false)
            );
        }
        // Far from the middle, all values of a half have the same sign.
        let rise = case.explain_as_we_do("rise", &["masks=2000", "grid=4"]);
        assert!((0..8).all(|y| rise[8 * y] > 0.0 && rise[8 * y + 7] < 0.0), "bias {bias}: {rise:?}");
    }
}

/// A change that raises all scores of a softmax equally is not evidence for any class.
#[test]
fn what_all_classes_share_does_not_count() {
    let (own, common) = (numbers(64, 3), numbers(64, 4));
    let of = |times: f32| {
        let columns = own.iter().zip(&common).flat_map(|(w, c)| [times * c - w, times * c + w]).collect();
        Case::dense([1, 8, 8], columns, [0.3, -0.2], &numbers(64, 5))
    };
    let (plain, shared) = (of(0.0), of(4.0));
    for (id, set) in BLACK_BOXES {
        let pad = |v: &[f32]| [v, &[1.0]].concat();
        let [a, b] = [&plain, &shared].map(|case| pad(&case.explain_as_we_do(id, set)));
        assert_close(id, &b, &a, Tol::FRAMEWORK);
        let published = [&plain, &shared].map(|case| case.explain(id, set).remove(0));
        let apart = published[0].iter().zip(&published[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart > 0.1, "{id}: the papers' logit is {apart} apart only");
    }
}
