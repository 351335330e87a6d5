//! Score-CAM, SS-CAM, IS-CAM.

use heatlens::random::{Key, Use};

use crate::common::{Tol, assert_close};
use crate::nets::{Case, SEED, twins};

/// Half-pixel bilinear upsampling, one output pixel at a time.
fn enlarged(plane: &[f64], [h, w]: [usize; 2], [height, width]: [usize; 2]) -> Vec<f64> {
    let mut large = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let place = |i: usize, small: usize, big: usize| {
                ((i as f64 + 0.5) * small as f64 / big as f64 - 0.5).clamp(0.0, (small - 1) as f64)
            };
            let (v, u) = (place(y, h, height), place(x, w, width));
            let near = |at: f64, to: usize| (1.0 - (at - to as f64).abs()).max(0.0);
            large.push((0..h * w).map(|i| plane[i] * near(v, i / w) * near(u, i % w)).sum());
        }
    }
    large
}

/// Maps channel, view number and plane to the changed plane and its brightness.
type View<'a> = dyn Fn(usize, usize, &[f32]) -> (Vec<f64>, f64) + 'a;

/// Computes α and the map. `view` returns the changed channel and the brightness of the image seen through it.
fn score_cam(case: &Case, image: &[f32], views: usize, view: &View<'_>) -> Vec<f32> {
    let [_, height, width] = case.shape();
    let [_, h, w] = case.model.default_layer().unwrap().shape;
    let planes = case.activations(image);
    let mut scores: Vec<Option<f64>> = Vec::new();
    for (k, plane) in planes.iter().enumerate() {
        if plane.iter().all(|v| *v == plane[0]) {
            scores.push(None);
            continue;
        }
        let mut sum = 0.0;
        for i in 0..views {
            let (plane, factor) = view(k, i, plane);
            let mask = enlarged(&plane, [h, w], [height, width]);
            let low = mask.iter().copied().fold(f64::INFINITY, f64::min);
            let high = mask.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let through = |(p, x): (usize, &f32)| {
                let m = (mask[p % (height * width)] - low) / (high - low);
                (f64::from(*x) * m * factor) as f32
            };
            sum += case.score(&image.iter().enumerate().map(through).collect::<Vec<_>>());
        }
        scores.push(Some(sum / views as f64));
    }
    let total: f64 = scores.iter().flatten().map(|s| s.exp()).sum();
    let mut map = vec![0.0; h * w];
    for (score, plane) in scores.iter().zip(&planes) {
        let Some(score) = score else { continue };
        map.iter_mut().zip(plane).for_each(|(sum, a)| *sum += score.exp() / total * f64::from(*a));
    }
    map.into_iter().map(|v| v as f32).collect()
}

fn as_it_is(_: usize, _: usize, plane: &[f32]) -> (Vec<f64>, f64) {
    (plane.iter().map(|&a| f64::from(a)).collect(), 1.0)
}

#[test]
fn score_cam_weighs_channels_by_the_score_through_them() {
    for case in twins() {
        let found = case.explain("score_cam", &[]);
        for (i, image) in case.images.iter().enumerate() {
            let expected = score_cam(&case, image, 1, &as_it_is);
            assert_close(&format!("{} image {i}", case.name), &found[i], &expected, Tol::FRAMEWORK);
        }
    }
}

#[test]
fn dead_channels_weigh_nothing() {
    // Image 0 leaves the whole layer dead; image 1 makes every channel constant.
    let found = Case::twin("dead_image", 1).explain("score_cam", &[]);
    assert!(found[0].iter().all(|v| *v == 0.0) && found[1].iter().all(|v| v.is_finite()));
    assert!(found[2].iter().any(|v| *v > 0.0));
}

#[test]
fn is_cam_brightens_from_black_to_the_masked_image() {
    for case in twins() {
        let found = case.explain("is_cam", &["steps=4"]);
        for (i, image) in case.images.iter().enumerate() {
            let dimmed =
                |k: usize, step: usize, plane: &[f32]| (as_it_is(k, step, plane).0, (step + 1) as f64 / 4.0);
            let expected = score_cam(&case, image, 4, &dimmed);
            assert_close(&format!("{} image {i}", case.name), &found[i], &expected, Tol::FRAMEWORK);
        }
    }
    let case = Case::twin("branchy", 0);
    let one = case.explain("is_cam", &["steps=1"]);
    for (one, score) in one.iter().zip(case.explain("score_cam", &[])) {
        assert_close("one step is Score-CAM", one, &score, Tol::EXACT);
    }
}

#[test]
fn ss_cam_averages_over_noisy_channels() {
    for case in twins() {
        let found = case.explain("ss_cam", &["samples=3", "noise=0.3"]);
        for (i, image) in case.images.iter().enumerate() {
            let noisy = |k: usize, sample: usize, plane: &[f32]| {
                let low = plane.iter().copied().fold(f32::INFINITY, f32::min);
                let high = plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let mut rng = Key::new(SEED, Use::Explain).at((k * 3 + sample) as u64).rng();
                let with = |&a: &f32| f64::from(a) + 0.3 * f64::from(high - low) * rng.normal();
                (plane.iter().map(with).collect(), 1.0)
            };
            let expected = score_cam(&case, image, 3, &noisy);
            assert_close(&format!("{} image {i}", case.name), &found[i], &expected, Tol::FRAMEWORK);
        }
    }
}
