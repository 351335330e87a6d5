//! Layer normalisation of rows and its gradient.

use super::reduce::{dot, sum};
use super::simd::{Isa, Job, Vector};

/// Factor and addend of each element of a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Affine<'a> {
    pub(crate) scale: Option<&'a [f32]>,
    pub(crate) bias: Option<&'a [f32]>,
}

/// Computes `(x − mean) ÷ √(variance + epsilon) · scale + bias` for each row of `size` elements.
pub(crate) fn normalize(x: &[f32], y: &mut [f32], size: usize, epsilon: f32, affine: Affine<'_>) {
    assert!(
        [affine.scale, affine.bias].iter().flatten().all(|part| part.len() == size),
        "parts of another size"
    );
    Isa::best().run(Rows { x, y, size, epsilon, affine });
}

/// A task: some rows.
struct Rows<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    size: usize,
    epsilon: f32,
    affine: Affine<'a>,
}

impl Job for Rows<'_> {
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // plain loops: an iterator's methods may not be inlined
    unsafe fn run<V: Vector>(self) {
        for (x, y) in self.x.chunks_exact(self.size).zip(self.y.chunks_exact_mut(self.size)) {
            let inverse = centre(x, y, self.epsilon);
            for i in 0..y.len() {
                y[i] *= inverse;
            }
            if let Some(scale) = self.affine.scale {
                for i in 0..y.len() {
                    y[i] *= scale[i];
                }
            }
            if let Some(bias) = self.affine.bias {
                for i in 0..y.len() {
                    y[i] += bias[i];
                }
            }
        }
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
#[inline(always)]
fn centre(x: &[f32], y: &mut [f32], epsilon: f32) -> f32 {
    let level = mean(sum(x), x.len());
    for i in 0..y.len() {
        y[i] = x[i] - level;
    }
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
        normalize(&x, &mut y, 300, 0.0, Affine::default());
        assert!(y.iter().all(|v| (v.abs() - 1.0).abs() < 1e-6), "{:?}", &y[..2]);
        let mut constant = vec![9.0; 4];
        normalize(&[7.0; 4], &mut constant, 4, 1e-5, Affine::default());
        assert_eq!(constant, [0.0; 4]);
    }
}
