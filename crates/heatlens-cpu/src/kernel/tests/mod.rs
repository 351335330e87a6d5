//! Tests of the kernels against naive loops in f64, for random shapes, on every instruction set.

mod conv;
mod gemm;
mod pool;
mod reference;

use super::{Isa, Window2d, Workers};
use proptest::prelude::*;

/// Both execution modes of a kernel.
const BOTH: [Workers; 2] = [Workers::Serial, Workers::Pool];

/// Returns pseudo-random numbers in −1…1, never zero.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 + 0.5) / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Returns scratch filled with NaN, which reveals kernels that rely on its contents.
fn scratch(len: usize) -> Vec<f32> {
    vec![f32::NAN; len]
}

fn assert_close(found: &[f32], expected: &[f64], scale: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&f, &e)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(f) - e).abs() <= 2e-6 * scale, "{what}: {f} at {i}, expected {e}");
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Windows of any stride, dilation and padding that fit at least once.
fn windows() -> impl Strategy<Value = Window2d> {
    let pair = |low: usize, high: usize| prop::array::uniform2(low..=high);
    (pair(1, 4), pair(1, 3), pair(1, 2), pair(0, 3), pair(0, 3), pair(1, 20)).prop_filter_map(
        "the window does not fit",
        |(kernel, stride, dilation, begin, end, input)| {
            Window2d::fitting(kernel, stride, dilation, begin, end, input)
        },
    )
}

fn isas() -> Vec<Isa> {
    Isa::available().collect()
}
