//! Softmax along an axis, and its logarithm.

/// Writes eˣ ÷ Σ eˣ, or its logarithm, along an axis of `count` elements `step` apart.
///
/// The largest element is subtracted first, so nothing overflows; sums run in f64.
pub(crate) fn softmax(x: &[f32], y: &mut [f32], count: usize, step: usize, log: bool) {
    assert_eq!(x.len(), y.len(), "arrays of different sizes");
    let block = count * step;
    if block == 0 {
        return;
    }
    assert!(x.len().is_multiple_of(block), "an axis of another size");
    for (x, y) in x.chunks(block).zip(y.chunks_mut(block)) {
        for first in 0..step {
            let row = || x[first..].iter().step_by(step);
            let top = row().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row().map(|&x| f64::from((x - top).exp())).sum();
            for (y, &x) in y[first..].iter_mut().step_by(step).zip(row()) {
                *y = finish(x - top, sum, log);
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // back to the elements' type
fn finish(shifted: f32, sum: f64, log: bool) -> f32 {
    if log { (f64::from(shifted) - sum.ln()) as f32 } else { (f64::from(shifted.exp()) / sum) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_scores_do_not_overflow() {
        let mut y = [0.0; 4];
        softmax(&[1000.0, 0.0, 1000.0, 0.0], &mut y, 2, 2, false);
        assert_eq!(y, [0.5; 4]);
        softmax(&[0.0, 1000.0], &mut y[..2], 2, 1, true);
        assert_eq!(y[..2], [-1000.0, 0.0]);
        softmax(&[f32::NAN, 0.0], &mut y[..2], 2, 1, false);
        assert!(y[..2].iter().all(|v| v.is_nan()));
    }

    #[test]
    fn any_axis_sums_to_one() {
        let x: Vec<f32> = (0..24).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
        for (count, step) in [(24, 1), (4, 1), (3, 4), (2, 12)] {
            let (mut y, mut log) = (vec![0.0; 24], vec![0.0; 24]);
            softmax(&x, &mut y, count, step, false);
            softmax(&x, &mut log, count, step, true);
            for i in 0..24 {
                let start = i / (count * step) * count * step + i % step;
                let total: f64 = (0..count).map(|k| f64::from(x[start + k * step]).exp()).sum();
                let expected = f64::from(x[i]).exp() / total;
                assert!((f64::from(y[i]) - expected).abs() < 1e-6, "{count} {step}");
                assert!((f64::from(log[i]) - expected.ln()).abs() < 1e-5, "{count} {step}");
            }
        }
    }
}
