//! Gaussian blur.

use std::ops::Range;

use rayon::prelude::*;

/// Returns the matrix that blurs `n` points with standard deviation `sigma`, row-major n×n. Points beyond the ends
/// are mirrored, so rows sum to 1 and a uniform plane stays uniform.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(in crate::method) fn gaussian_matrix(n: usize, sigma: f64) -> Vec<f32> {
    let reach = (4.0 * sigma).ceil() as usize;
    let weights: Vec<f64> =
        (0..=reach).map(|d| libm::exp(-0.5 * (d as f64 / sigma.max(f64::MIN_POSITIVE)).powi(2))).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    let mut matrix = vec![0.0; n * n];
    for i in 0..n {
        let mut row = vec![0.0; n];
        for (d, weight) in weights.iter().enumerate() {
            row[mirrored(i as i64 + d as i64, n)] += weight / total;
            if d > 0 {
                row[mirrored(i as i64 - d as i64, n)] += weight / total;
            }
        }
        for (entry, value) in matrix[i * n..].iter_mut().zip(row) {
            *entry = value as f32;
        }
    }
    matrix
}

/// Maps index `i` into a line of `n` extended by reflection with repeated end points: c b a | a b c | c b a.
#[allow(clippy::cast_possible_wrap, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn mirrored(i: i64, n: usize) -> usize {
    let round = i.rem_euclid(2 * n as i64) as usize;
    round.min(2 * n - 1 - round)
}

/// Blurs planes of shape `c h w`, row by row on all threads.
pub(crate) fn blur(pixels: &[f32], [_, h, w]: [usize; 3], sigma: f64) -> Vec<f32> {
    let (rows, columns) = (gaussian_matrix(h, sigma), gaussian_matrix(w, sigma));
    let reach: Vec<Range<usize>> = columns.chunks(w).map(within_reach).collect();
    let mut blurred = vec![0.0; pixels.len()];
    blurred.par_chunks_mut(w).enumerate().for_each(|(line, out)| {
        let plane = &pixels[line / h * h * w..][..h * w];
        let weights = &rows[line % h * h..][..h];
        let mut down = vec![0.0; w];
        for (line, &weight) in plane.chunks(w).zip(weights).filter(|(_, weight)| **weight > 0.0) {
            down.iter_mut().zip(line).for_each(|(sum, v)| *sum += weight * v);
        }
        for ((out, weights), reach) in out.iter_mut().zip(columns.chunks(w)).zip(&reach) {
            *out = weights[reach.clone()].iter().zip(&down[reach.clone()]).map(|(c, v)| c * v).sum();
        }
    });
    blurred
}

/// Returns the range from the first to the last non-zero weight.
fn within_reach(weights: &[f32]) -> Range<usize> {
    let first = weights.iter().position(|&weight| weight > 0.0).unwrap_or(0);
    first..weights.iter().rposition(|&weight| weight > 0.0).map_or(first, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_spreads_a_point_and_keeps_what_is_even() {
        let mut point = vec![0.0; 15 * 21];
        point[7 * 21 + 10] = 1.0;
        let spread = blur(&point, [1, 15, 21], 1.5);
        assert!((spread.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let ratio = spread[7 * 21 + 12] / spread[7 * 21 + 10];
        assert!((f64::from(ratio) - (-0.5f64 * (2.0 / 1.5f64).powi(2)).exp()).abs() < 1e-5, "{ratio}");
        assert!(blur(&[0.3; 12], [1, 3, 4], 9.0).iter().all(|v| (v - 0.3).abs() < 1e-6));
        assert_eq!(blur(&point, [1, 15, 21], 0.0), point);
        assert_eq!([-1, 0, 2, 3, 7].map(|i| mirrored(i, 3)), [0, 0, 2, 2, 1]);
    }
}
