//! Layer normalisation of rows and its gradient.

use super::reduce::{dot, sum};

/// Computes `(x − mean) ÷ √(variance + epsilon)` for each row of `size` elements.
pub(crate) fn normalize(x: &[f32], y: &mut [f32], size: usize, epsilon: f32) {
    for (x, y) in x.chunks(size).zip(y.chunks_mut(size)) {
        let inverse = centre(x, y, epsilon);
        y.iter_mut().for_each(|v| *v *= inverse);
    }
}

/// Computes the gradient of [`normalize`] at x: `(dy − mean(dy) − x̂ · mean(dy · x̂)) ÷ deviation`.
pub(crate) fn gradient(x: &[f32], dy: &[f32], dx: &mut [f32], size: usize, epsilon: f32) {
    for ((x, dy), dx) in x.chunks(size).zip(dy.chunks(size)).zip(dx.chunks_mut(size)) {
        let inverse = centre(x, dx, epsilon);
        let level = mean(sum(dy), size);
        // x̂ is the centred row times the inverse deviation, in both factors of the product.
        let tilt = mean(dot(dy, dx), size) * inverse * inverse;
        for (v, g) in dx.iter_mut().zip(dy) {
            *v = (g - level - *v * tilt) * inverse;
        }
    }
}

/// Writes x − mean and returns 1 ÷ √(variance + epsilon). The variance is computed from the differences, because the
/// mean may be large in comparison.
fn centre(x: &[f32], y: &mut [f32], epsilon: f32) -> f32 {
    let level = mean(sum(x), x.len());
    y.iter_mut().zip(x).for_each(|(y, x)| *y = x - level);
    (mean(dot(y, y), x.len()) + epsilon).sqrt().recip()
}

#[allow(clippy::cast_precision_loss)] // row sizes are far below 2^24
fn mean(total: f32, count: usize) -> f32 {
    total / count as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_mean_does_no_harm() {
        let x: Vec<f32> = (0..300).map(|i| 4096.0 + f32::from(i as u16 % 2)).collect();
        let mut y = vec![0.0; 300];
        normalize(&x, &mut y, 300, 0.0);
        assert!(y.iter().all(|v| (v.abs() - 1.0).abs() < 1e-6), "{:?}", &y[..2]);
        let mut constant = vec![9.0; 4];
        normalize(&[7.0; 4], &mut constant, 4, 1e-5);
        assert_eq!(constant, [0.0; 4]);
    }
}
