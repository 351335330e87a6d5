//! Exponential and related functions, written so that the compiler can vectorise them: without calls, branches or
//! tables. Each is accurate to a few units in the last place.
//!
//! `select_unpredictable` chooses between two expensive values: the compiler may turn an `if` into a branch around one
//! of them, which prevents vectorisation.

use std::hint::select_unpredictable;

/// `1.5 · 2²³`: adding it to a small number leaves the nearest integer in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// A function of one element. With `FUSED`, products and sums are computed by one instruction, which the processor must
/// have.
pub(crate) trait Function {
    fn value<const FUSED: bool>(x: f32) -> f32;
}

/// Defines types for functions that are generic over `FUSED`.
macro_rules! functions {
    ($($name:ident = $function:ident;)*) => {
        $(
            pub(crate) struct $name;

            impl Function for $name {
                #[inline(always)]
                fn value<const FUSED: bool>(x: f32) -> f32 {
                    $function::<FUSED>(x)
                }
            }
        )*
    };
}

functions! {
    Exp = exp;
    Sigmoid = sigmoid;
    Silu = silu;
    Tanh = tanh;
    Erf = erf;
    Gelu = gelu;
    GeluTanh = gelu_tanh;
}

/// a · b + c.
#[inline(always)]
fn mul_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Polynomial of x, highest coefficient first. Even and odd powers are summed separately, so that two additions are in
/// flight at a time.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // i also chooses the sum
fn polynomial<const FUSED: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let square = x * x;
    let mut sums = [coefficients[0], coefficients[1]];
    for i in 2..N {
        sums[i % 2] = mul_add::<FUSED>(square, sums[i % 2], coefficients[i]);
    }
    // The last coefficient is that of the power 0.
    mul_add::<FUSED>(x, sums[N % 2], sums[(N - 1) % 2])
}

/// Returns eʳ and, in the low bits, n, where x = n ln 2 + r with |r| ≤ ln 2 ÷ 2. eʳ is a polynomial.
#[inline(always)]
fn exp_parts<const FUSED: bool>(x: f32) -> (f32, i32) {
    // ln 2 in two parts; the first has few digits, so that its product with n is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let shifted = mul_add::<FUSED>(x, std::f32::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = mul_add::<FUSED>(n, -LN2_LOW, mul_add::<FUSED>(n, -LN2_HIGH, x));
    let p = polynomial::<FUSED, 6>(
        r,
        [1.984_127_1e-4, 1.388_888_9e-3, 8.333_334e-3, 4.166_666_8e-2, 1.666_666_7e-1, 0.5],
    );
    let e = 1.0 + mul_add::<FUSED>(r * r, p, r);
    // The bits of `shifted` are those of ROUNDER plus n.
    (e, shifted.to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed())
}

/// Returns 2ⁿ, constructed from bits, for n of a normal number.
#[inline(always)]
fn power(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23).cast_unsigned())
}

/// eˣ, from 0 to infinity; NaN is preserved.
#[inline(always)]
pub(crate) fn exp<const FUSED: bool>(x: f32) -> f32 {
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let (e, n) = exp_parts::<FUSED>(x);
    // Two factors, because n exceeds the range of an exponent.
    let half = n >> 1;
    e * power(half) * power(n - half)
}

/// eˣ for x ≤ 0, zero where it would be below the normal numbers; NaN is preserved.
#[inline(always)]
fn exp_negative<const FUSED: bool>(x: f32) -> f32 {
    const LEAST: f32 = -87.3;
    let (e, n) = exp_parts::<FUSED>(if x < LEAST { LEAST } else { x });
    if x < LEAST { 0.0 } else { e * power(n) }
}

/// eˣ − 1 for x ≤ 0, accurate for small results; NaN is preserved.
#[inline(always)]
pub(crate) fn exp_m1_negative<const FUSED: bool>(x: f32) -> f32 {
    // The series is used where eˣ is near 1 and the difference would lose digits.
    let p = polynomial::<FUSED, 8>(
        x,
        [
            2.755_731_9e-6,
            2.480_158_7e-5,
            1.984_127e-4,
            1.388_888_9e-3,
            8.333_334e-3,
            4.166_666_8e-2,
            1.666_666_7e-1,
            0.5,
        ],
    );
    let near = mul_add::<FUSED>(x * x, p, x);
    let far = exp_negative::<FUSED>(x) - 1.0;
    select_unpredictable(x > -0.6, near, far)
}

/// 1 ÷ (1 + e⁻ˣ), without overflow and accurate for small results; zero where it would be below the normal numbers.
#[inline(always)]
pub(crate) fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    let e = exp_negative::<FUSED>(-x.abs());
    let top = if x >= 0.0 { 1.0 } else { e };
    top / (1.0 + e)
}

/// x · σ(x).
#[inline(always)]
pub(crate) fn silu<const FUSED: bool>(x: f32) -> f32 {
    x * sigmoid::<FUSED>(x)
}

/// tanh x.
#[inline(always)]
pub(crate) fn tanh<const FUSED: bool>(x: f32) -> f32 {
    // (e⁻²ˣ − 1) ÷ (e⁻²ˣ + 1) of |x|, which cannot overflow.
    let m = exp_m1_negative::<FUSED>(-2.0 * x.abs());
    let size = -m / (2.0 + m);
    if x.is_nan() { x } else { size.copysign(x) }
}

/// 1 − erf of a number that is not negative: its logarithm plus x² is nearly linear, so a polynomial on 0…4 is exact to
/// 3e-8. Beyond 4, the result is far below the last digit of 1.
#[inline(always)]
fn erfc<const FUSED: bool>(size: f32) -> f32 {
    let t = if size > 4.0 { 4.0 } else { size };
    let p = polynomial::<FUSED, 12>(
        t,
        [
            7.887_348e-8,
            -2.074_661_6e-6,
            2.426_469_5e-5,
            -1.647_638_4e-4,
            6.967_83e-4,
            -1.668_630_4e-3,
            5.574_853e-5,
            1.928_529_3e-2,
            -1.028_499e-1,
            3.633_985e-1,
            -1.128_380_8,
            2.411_288_6e-8,
        ],
    );
    // Beyond 4 the tail continues to fall like e^(−x²).
    exp_negative::<FUSED>(mul_add::<FUSED>(-size, size, p))
}

/// erf x for |x| < 1, by an odd polynomial.
#[inline(always)]
fn erf_near<const FUSED: bool>(x: f32) -> f32 {
    let p = polynomial::<FUSED, 8>(
        x * x,
        [
            -9.673_59e-6,
            1.126_825_4e-4,
            -8.484_396_4e-4,
            5.221_053_5e-3,
            -2.686_543_8e-2,
            1.128_378_3e-1,
            -3.761_263_8e-1,
            std::f32::consts::FRAC_2_SQRT_PI,
        ],
    );
    x * p
}

/// 2 ÷ √π · ∫₀ˣ e^(−t²) dt.
#[inline(always)]
pub(crate) fn erf<const FUSED: bool>(x: f32) -> f32 {
    let far = (1.0 - erfc::<FUSED>(x.abs())).copysign(x);
    let near = erf_near::<FUSED>(x);
    let value = select_unpredictable(x.abs() < 1.0, near, far);
    if x.is_nan() { x } else { value }
}

/// x · Φ(x), accurate for the small results of negative x.
#[inline(always)]
pub(crate) fn gelu<const FUSED: bool>(x: f32) -> f32 {
    let tail = erfc::<FUSED>(x.abs() * std::f32::consts::FRAC_1_SQRT_2);
    let twice = if x > 0.0 { 2.0 - tail } else { tail };
    let value = 0.5 * x * twice;
    if x < -18.5 { -0.0 } else { value }
}

/// x · σ(2u) with u = √(2 ÷ π) · (x + 0.044715 x³): equal to x · (1 + tanh u) ÷ 2, in fewer steps.
#[inline(always)]
pub(crate) fn gelu_tanh<const FUSED: bool>(x: f32) -> f32 {
    let twice = x * (1.595_769 + 0.071_354_814 * x * x);
    if x < -1e6 { -0.0 } else { x * sigmoid::<FUSED>(twice) }
}

/// x · tanh(ln(1 + eˣ)) = x · n ÷ (n + 2) with n = eˣ (eˣ + 2).
#[inline(always)]
pub(crate) fn mish(x: f32) -> f32 {
    // For x ≥ 20 the factor is 1.
    let e = exp::<false>(if x > 20.0 { 20.0 } else { x });
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
        let elu = UnaryFunction::Elu(one);
        for (f, exact, range, floor, limit) in [
            (exp::<false> as fn(f32) -> f32, UnaryFunction::Exp, [-87.0, 88.7], tiny, 2e-7),
            (exp::<true>, UnaryFunction::Exp, [-87.0, 88.7], tiny, 2e-7),
            (exp_m1_negative::<false>, elu, [-20.0, 0.0], tiny, 4e-7),
            (exp_m1_negative::<true>, elu, [-20.0, 0.0], tiny, 4e-7),
            (sigmoid::<false>, UnaryFunction::Sigmoid, [-80.0, 80.0], tiny, 4e-7),
            (sigmoid::<true>, UnaryFunction::Sigmoid, [-80.0, 80.0], tiny, 4e-7),
            (tanh::<false>, UnaryFunction::Tanh, [-12.0, 12.0], tiny, 4e-7),
            (tanh::<true>, UnaryFunction::Tanh, [-12.0, 12.0], tiny, 4e-7),
            (tanh::<false>, UnaryFunction::Tanh, [-1e-3, 1e-3], tiny, 4e-7),
            (tanh::<true>, UnaryFunction::Tanh, [-1e-3, 1e-3], tiny, 4e-7),
            (erf::<false>, UnaryFunction::Erf, [-6.0, 6.0], tiny, 3e-7),
            (erf::<true>, UnaryFunction::Erf, [-6.0, 6.0], tiny, 3e-7),
            (gelu::<false>, UnaryFunction::Gelu, [-20.0, 20.0], 1e-3, 3e-6),
            (gelu::<true>, UnaryFunction::Gelu, [-20.0, 20.0], 1e-3, 3e-6),
            (gelu_tanh::<false>, UnaryFunction::GeluTanh, [-20.0, 20.0], 1e-3, 3e-6),
            (gelu_tanh::<true>, UnaryFunction::GeluTanh, [-20.0, 20.0], 1e-3, 3e-6),
            (mish, UnaryFunction::Mish, [-40.0, 40.0], 1e-3, 3e-6),
            (hard_swish, UnaryFunction::HardSwish, [-5.0, 5.0], 1e-3, 3e-6),
        ] {
            let worst = worst(f, exact, range, floor);
            assert!(worst < limit, "{exact:?} on {range:?}: {worst:e}");
        }
    }

    #[test]
    fn ends_are_what_they_should_be() {
        ends::<false>();
        ends::<true>();
        for f in [mish, hard_swish] {
            assert_eq!((f(100.0), f(-200.0).abs()), (100.0, 0.0));
            assert_eq!((f(f32::INFINITY), f(-1e30).abs()), (f32::INFINITY, 0.0));
            assert!(f(f32::NAN).is_nan());
        }
        assert!(clamp(f32::NAN, 0.0, 1.0).is_nan());
    }

    fn ends<const FUSED: bool>() {
        let (exp, tanh, erf, sigmoid) = (exp::<FUSED>, tanh::<FUSED>, erf::<FUSED>, sigmoid::<FUSED>);
        assert_eq!((exp(0.0), exp(f32::INFINITY), exp(100.0)), (1.0, f32::INFINITY, f32::INFINITY));
        assert_eq!((exp(f32::NEG_INFINITY), exp(-200.0)), (0.0, 0.0));
        assert!(exp(-100.0) > 0.0, "numbers below the normal ones are kept");
        assert_eq!((tanh(40.0), tanh(-40.0), erf(9.0), erf(-9.0)), (1.0, -1.0, 1.0, -1.0));
        assert_eq!((erf(f32::INFINITY), erf(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!((sigmoid(1e30), sigmoid(-1e30), sigmoid(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        for f in [gelu::<FUSED>, gelu_tanh::<FUSED>] {
            assert_eq!((f(100.0), f(-200.0).abs()), (100.0, 0.0));
            assert_eq!((f(f32::INFINITY), f(-1e30).abs()), (f32::INFINITY, 0.0));
            assert!(f(f32::NAN).is_nan());
        }
        for f in [exp, exp_m1_negative::<FUSED>, sigmoid, tanh, erf] {
            assert!(f(f32::NAN).is_nan());
        }
    }
}
