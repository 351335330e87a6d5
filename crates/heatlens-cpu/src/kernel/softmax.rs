//! Softmax and log-softmax along an axis.

use super::functions::exp;
use super::reduce::sum;
use super::simd::{Isa, Job, Vector};
use super::workers::Workers;

/// Elements per task: some microseconds of work.
const TASK: usize = 1 << 13;

/// Computes eˣ ÷ Σ eˣ, or its logarithm, along an axis of `count` elements that are `step` apart.
///
/// The maximum is subtracted first to avoid overflow.
pub(crate) fn softmax(x: &[f32], y: &mut [f32], count: usize, step: usize, log: bool, workers: Workers) {
    assert_eq!(x.len(), y.len(), "arrays of different sizes");
    let block = count * step;
    if block == 0 {
        return;
    }
    assert!(x.len().is_multiple_of(block), "an axis of another size");
    let piece = block * TASK.div_ceil(block);
    workers.for_each_chunk(y, piece, |i, y| {
        let x = &x[i * piece..][..y.len()];
        let mut beside = vec![0.0; if step == 1 { 0 } else { 2 * count }];
        for (x, y) in x.chunks(block).zip(y.chunks_mut(block)) {
            if step == 1 {
                Isa::best().run(Row { x, y, log });
            } else {
                columns(x, y, step, log, beside.split_at_mut(count));
            }
        }
    });
}

/// Softmax along an axis of contiguous elements.
struct Row<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    log: bool,
}

impl Job for Row<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let top = largest(self.x);
        let pairs = self.y.iter_mut().zip(self.x);
        if V::FUSED {
            pairs.for_each(|(y, &x)| *y = exp::<true>(x - top));
        } else {
            pairs.for_each(|(y, &x)| *y = exp::<false>(x - top));
        }
        let total = sum(self.y);
        if self.log {
            let shift = total.ln();
            self.y.iter_mut().zip(self.x).for_each(|(y, &x)| *y = (x - top) - shift);
        } else {
            let factor = total.recip();
            self.y.iter_mut().for_each(|y| *y *= factor);
        }
    }
}

/// Returns the maximum, computed in lanes; NaN is ignored.
#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (blocks, rest) = x.as_chunks::<16>();
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, &v)| *lane = if v > *lane { v } else { *lane });
    }
    rest.iter().chain(&lanes).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Computes softmax along axes whose elements are `step` apart: each is copied out, computed and copied back.
fn columns(x: &[f32], y: &mut [f32], step: usize, log: bool, (row, result): (&mut [f32], &mut [f32])) {
    for first in 0..step {
        row.iter_mut().zip(x[first..].iter().step_by(step)).for_each(|(to, &from)| *to = from);
        Isa::best().run(Row { x: row, y: result, log });
        y[first..].iter_mut().step_by(step).zip(&*result).for_each(|(to, &from)| *to = from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn softmax(x: &[f32], y: &mut [f32], count: usize, step: usize, log: bool) {
        super::softmax(x, y, count, step, log, Workers::Serial);
    }

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
    fn long_rows_are_exact_and_threads_change_no_bit() {
        let x: Vec<f32> = (0u16..20_000).map(|i| f32::from(i % 1009 * 37 % 1009) / 100.0 - 5.0).collect();
        let (mut y, mut again) = (vec![0.0; 20_000], vec![0.0; 20_000]);
        softmax(&x, &mut y, 1000, 1, false);
        super::softmax(&x, &mut again, 1000, 1, false, Workers::Pool);
        assert!(y == again);
        for (x, y) in x.chunks(1000).zip(y.chunks(1000)) {
            let total: f64 = x.iter().map(|&v| f64::from(v).exp()).sum();
            for (&x, &y) in x.iter().zip(y) {
                let expected = f64::from(x).exp() / total;
                assert!((f64::from(y) / expected - 1.0).abs() < 2e-6, "{y}, expected {expected}");
            }
        }
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
