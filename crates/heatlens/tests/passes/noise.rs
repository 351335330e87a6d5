//! SmoothGrad, VarGrad, SquareGrad.

use heatlens::random::{Key, Use};

use crate::common::{Tol, assert_close};
use crate::nets::{Case, SEED, numbers, twins};

/// Returns the gradients at all noisy copies.
fn gradients(case: &Case, image: &[f32], samples: usize, noise: f64) -> Vec<Vec<f32>> {
    let low = image.iter().copied().fold(f32::INFINITY, f32::min);
    let high = image.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sigma = noise * f64::from(high - low);
    let mut all = Vec::new();
    for sample in 0..samples {
        let mut rng = Key::new(SEED, Use::Explain).at(sample as u64).rng();
        let noisy: Vec<f32> = image.iter().map(|x| x + (sigma * rng.normal()) as f32).collect();
        all.push(case.gradient(&noisy));
    }
    all
}

#[test]
fn they_are_mean_variance_and_mean_square_of_noisy_gradients() {
    let set = ["samples=40", "noise=0.2"];
    for case in twins() {
        let found = ["smooth_grad", "var_grad", "square_grad"].map(|id| case.explain(id, &set));
        for (i, image) in case.images.iter().enumerate() {
            let all = gradients(&case, image, 40, 0.2);
            let over = |f: &dyn Fn(f64) -> f64, pixel: usize| {
                all.iter().map(|g| f(f64::from(g[pixel]))).sum::<f64>() / 40.0
            };
            let (mut mean, mut variance, mut square) = (Vec::new(), Vec::new(), Vec::new());
            for pixel in 0..image.len() {
                let m = over(&|g| g, pixel);
                mean.push(m as f32);
                variance.push(over(&|g| (g - m).powi(2), pixel) as f32);
                square.push(over(&|g| g * g, pixel) as f32);
            }
            let what = |id: &str| format!("{id}, {}, image {i}", case.name);
            assert_close(&what("smooth_grad"), &found[0][i], &mean, Tol::F32);
            assert_close(&what("square_grad"), &found[2][i], &square, Tol::F32);
            // A variance of zero is computed as the rounding error of the squared gradients.
            let size = square.iter().copied().fold(0.0, f32::max);
            let pad = |v: &[f32]| [v, &[size]].concat();
            assert_close(&what("var_grad"), &pad(&found[1][i]), &pad(&variance), Tol::F32);
        }
    }
}

#[test]
fn a_linear_model_has_the_same_gradient_everywhere() {
    let weights = numbers(2 * 5 * 7, 1);
    let case = Case::linear([2, 5, 7], &weights, 0.3);
    let squares: Vec<f32> = weights.iter().map(|w| w * w).collect();
    assert_close("mean", &case.explain("smooth_grad", &[])[0], &weights, Tol::F32);
    assert_close("square", &case.explain("square_grad", &[])[0], &squares, Tol::F32);
    assert!(case.explain("var_grad", &[])[0].iter().all(|v| *v == 0.0));
}

#[test]
fn a_constant_image_stays_as_it_is() {
    // Its range is zero, so the noise is too.
    let case = Case::twin("dead_image", 1);
    let (smooth, plain) = (case.explain("smooth_grad", &[]), case.explain("gradient", &[]));
    assert_close("constant", &smooth[1], &plain[1], Tol::F32);
    assert!(plain[1].iter().any(|g| *g != 0.0));
    assert!(smooth[2] != plain[2]);
}
