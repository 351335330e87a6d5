//! Exponential and related functions, written so that the compiler can vectorise them: without calls, branches or
//! tables. Each is accurate to a few units in the last place.
//!
//! `select_unpredictable` chooses between two expensive values: the compiler may turn an `if` into a branch around one
//! of them, which prevents vectorisation.

use std::hint::select_unpredictable;

/// `1.5 · 2²³`: adding it to a small number leaves the nearest integer in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// eˣ, from 0 to infinity; NaN is preserved.
///
/// x = n ln 2 + r with |r| ≤ ln 2 ÷ 2; eʳ is a polynomial, and 2ⁿ is constructed from bits, in two factors because n
/// exceeds the range of an exponent.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // ln 2 in two parts; the first has few digits, so that its product with n is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.388_888_9e-3 + r * 1.984_127_1e-4;
    p = 8.333_334e-3 + r * p;
    p = 4.166_666_8e-2 + r * p;
    p = 1.666_666_7e-1 + r * p;
    p = 0.5 + r * p;
    let e = 1.0 + (r + r * r * p);
    // The bits of `shifted` are those of ROUNDER plus n.
    let n = shifted.to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed();
    let half = n >> 1;
    let power = |n: i32| f32::from_bits(((n + 127) << 23).cast_unsigned());
    e * power(half) * power(n - half)
}

/// eˣ − 1 for x ≤ 0, accurate for small results; NaN is preserved.
#[inline(always)]
pub(crate) fn exp_m1_negative(x: f32) -> f32 {
    // The series is used where eˣ is near 1 and the difference would lose digits.
    let mut p = 2.480_158_7e-5 + x * 2.755_731_9e-6;
    p = 1.984_127e-4 + x * p;
    p = 1.388_888_9e-3 + x * p;
    p = 8.333_334e-3 + x * p;
    p = 4.166_666_8e-2 + x * p;
    p = 1.666_666_7e-1 + x * p;
    p = 0.5 + x * p;
    let near = x + x * x * p;
    let far = exp(x) - 1.0;
    select_unpredictable(x > -0.6, near, far)
}

/// 1 ÷ (1 + e⁻ˣ), without overflow and accurate for small results.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let top = if x >= 0.0 { 1.0 } else { e };
    top / (1.0 + e)
}

/// tanh x.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    // (e⁻²ˣ − 1) ÷ (e⁻²ˣ + 1) of |x|, which cannot overflow.
    let m = exp_m1_negative(-2.0 * x.abs());
    let size = -m / (2.0 + m);
    if x.is_nan() { x } else { size.copysign(x) }
}

/// 1 − erf |x| for |x| ≥ 1: its logarithm plus x² is nearly linear, so a polynomial of |x| on 1…4 is exact to 1e-8.
/// Beyond 4, the result is far below the last digit of 1.
#[inline(always)]
fn erfc_tail(size: f32) -> f32 {
    let t = if size > 4.0 { 4.0 } else { size };
    let mut p = -4.559_062_3e-5 + t * 1.614_061_6e-6;
    p = 5.927_695_3e-4 + t * p;
    p = -4.740_222_4e-3 + t * p;
    p = 2.636_471_8e-2 + t * p;
    p = -1.099_782_4e-1 + t * p;
    p = 3.680_629e-1 + t * p;
    p = -1.130_166_6 + t * p;
    p = 3.032_129_6e-4 + t * p;
    // Beyond 4 the tail continues to fall like e^(−x²).
    let beyond = if size > 13.0 { 13.0 } else { size };
    exp(p - beyond * beyond)
}

/// erf x for |x| < 1, by an odd polynomial.
#[inline(always)]
fn erf_near(x: f32) -> f32 {
    let z = x * x;
    let mut p = 1.126_825_4e-4 - z * 9.673_59e-6;
    p = -8.484_396_4e-4 + z * p;
    p = 5.221_053_5e-3 + z * p;
    p = -2.686_543_8e-2 + z * p;
    p = 1.128_378_3e-1 + z * p;
    p = -3.761_263_8e-1 + z * p;
    p = std::f32::consts::FRAC_2_SQRT_PI + z * p;
    x * p
}

/// 2 ÷ √π · ∫₀ˣ e^(−t²) dt.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let far = (1.0 - erfc_tail(x.abs())).copysign(x);
    let near = erf_near(x);
    let value = select_unpredictable(x.abs() < 1.0, near, far);
    if x.is_nan() { x } else { value }
}

/// x · Φ(x), accurate for the small results of negative x.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    let t = x * std::f32::consts::FRAC_1_SQRT_2;
    let tail = erfc_tail(t.abs());
    let far = if x > 0.0 { 2.0 - tail } else { tail };
    let near = 1.0 + erf_near(t);
    let twice = select_unpredictable(t.abs() < 1.0, near, far);
    let value = 0.5 * x * twice;
    if x < -18.5 { -0.0 } else { value }
}

/// x · σ(2u) with u = √(2 ÷ π) · (x + 0.044715 x³): equal to x · (1 + tanh u) ÷ 2, in fewer steps.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    let twice = x * (1.595_769 + 0.071_354_814 * x * x);
    if x < -1e6 { -0.0 } else { x * sigmoid(twice) }
}

/// x · tanh(ln(1 + eˣ)) = x · n ÷ (n + 2) with n = eˣ (eˣ + 2).
#[inline(always)]
pub(crate) fn mish(x: f32) -> f32 {
    // For x ≥ 20 the factor is 1.
    let e = exp(if x > 20.0 { 20.0 } else { x });
    let n = e * (e + 2.0);
    if x < -1e6 { -0.0 } else { x * (n / (n + 2.0)) }
}

/// x · (x ÷ 6 + 1/2, clamped to 0…1).
#[inline(always)]
pub(crate) fn hard_swish(x: f32) -> f32 {
    x * (clamp(x + 3.0, 0.0, 6.0) / 6.0)
}

/// Clamps x to `low`…`high`; NaN is preserved.
#[inline(always)]
pub(crate) fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heatlens_graph::op::unary::UnaryFunction;

    /// Maximum error of `f` over a range, relative to the exact value, or to `floor` where the value is smaller.
    fn worst(f: fn(f32) -> f32, exact: UnaryFunction, range: [f32; 2], floor: f64) -> f64 {
        let at = |i: u16| range[0] + (range[1] - range[0]) * f32::from(i) / 65535.0;
        let error = |x: f32| {
            let expected = exact.value(f64::from(x));
            (f64::from(f(x)) - expected).abs() / expected.abs().max(floor)
        };
        (0..=65535).map(at).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn all_digits_are_right() {
        let one = heatlens_graph::op::unary::Scalar::new(1.0);
        let tiny = f64::from(f32::MIN_POSITIVE);
        for (f, exact, range, floor, limit) in [
            (exp as fn(f32) -> f32, UnaryFunction::Exp, [-87.0, 88.7], tiny, 2e-7),
            (exp_m1_negative, UnaryFunction::Elu(one), [-20.0, 0.0], tiny, 4e-7),
            (sigmoid, UnaryFunction::Sigmoid, [-80.0, 80.0], tiny, 4e-7),
            (tanh, UnaryFunction::Tanh, [-12.0, 12.0], tiny, 4e-7),
            (tanh, UnaryFunction::Tanh, [-1e-3, 1e-3], tiny, 4e-7),
            (erf, UnaryFunction::Erf, [-6.0, 6.0], tiny, 3e-7),
            (gelu, UnaryFunction::Gelu, [-20.0, 20.0], 1e-3, 3e-6),
            (gelu_tanh, UnaryFunction::GeluTanh, [-20.0, 20.0], 1e-3, 3e-6),
            (mish, UnaryFunction::Mish, [-40.0, 40.0], 1e-3, 3e-6),
            (hard_swish, UnaryFunction::HardSwish, [-5.0, 5.0], 1e-3, 3e-6),
        ] {
            let worst = worst(f, exact, range, floor);
            assert!(worst < limit, "{exact:?} on {range:?}: {worst:e}");
        }
    }

    #[test]
    fn ends_are_what_they_should_be() {
        assert_eq!((exp(0.0), exp(f32::INFINITY), exp(100.0)), (1.0, f32::INFINITY, f32::INFINITY));
        assert_eq!((exp(f32::NEG_INFINITY), exp(-200.0)), (0.0, 0.0));
        assert!(exp(-100.0) > 0.0, "numbers below the normal ones are kept");
        assert_eq!((tanh(40.0), tanh(-40.0), erf(9.0), erf(-9.0)), (1.0, -1.0, 1.0, -1.0));
        for f in [gelu, gelu_tanh, mish, hard_swish] {
            assert_eq!((f(100.0), f(-200.0).abs()), (100.0, 0.0));
            assert_eq!((f(f32::INFINITY), f(-1e30).abs()), (f32::INFINITY, 0.0));
        }
        for f in [exp, exp_m1_negative, sigmoid, tanh, erf, gelu, gelu_tanh, mish, hard_swish] {
            assert!(f(f32::NAN).is_nan());
        }
        assert!(clamp(f32::NAN, 0.0, 1.0).is_nan());
    }
}
