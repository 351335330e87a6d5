//! Measurement of peak floating-point performance.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::simd::{Isa, Job, Vector};

/// Number of independent sums: enough to hide the latency of a multiply-add on two units.
const CHAINS: usize = 10;
/// Multiply-adds of each sum between two clock readings.
const STEPS: usize = 1 << 14;

/// Multiply-adds in registers only; adds their number of floating-point operations to `flops`.
struct Burst<'a> {
    flops: &'a mut u64,
}

impl Job for Burst<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the caller guarantees the instruction set.
        unsafe {
            let (a, b) = (V::splat(black_box(0.999)), V::splat(black_box(1e-3)));
            let mut sums = [V::splat(black_box(1.0)); CHAINS];
            for _ in 0..STEPS {
                for sum in &mut sums {
                    *sum = sum.mul_add(a, b);
                }
            }
            black_box(sums.iter().map(|sum| sum.sum()).sum::<f32>());
        }
        *self.flops += 2 * (CHAINS * STEPS * V::LANES) as u64;
    }
}

/// Returns the floating-point operations per second of one thread, the best of several bursts.
pub(crate) fn peak_flops(isa: Isa) -> f64 {
    const ENOUGH: Duration = Duration::from_millis(60);
    let (start, mut best) = (Instant::now(), 0.0f64);
    while start.elapsed() < ENOUGH {
        let (burst, mut flops) = (Instant::now(), 0);
        isa.run(Burst { flops: &mut flops });
        best = best.max(flops as f64 / burst.elapsed().as_secs_f64());
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_counts_two_operations_for_each_lane_and_step() {
        let mut least = None;
        for isa in Isa::available() {
            let mut flops = 0;
            isa.run(Burst { flops: &mut flops });
            let lanes = flops / (2 * (CHAINS * STEPS) as u64);
            assert!(lanes.is_power_of_two() && flops % lanes == 0, "{isa:?}: {lanes} lanes");
            // The widest instruction set comes first.
            assert!(least.is_none_or(|least| lanes <= least), "{isa:?}: {lanes} lanes");
            least = Some(lanes);
            assert!(peak_flops(isa) > 0.0);
        }
    }
}
