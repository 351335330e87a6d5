//! Elementwise functions of one, two or three values.

use std::marker::PhantomData;

use super::functions::Function;
use super::simd::{Isa, Job, Vector};

/// Computes `y = f(x)`.
pub(crate) fn unary(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    assert_eq!(x.len(), y.len(), "arrays of different sizes");
    Isa::best().run(Unary { x, y, f });
}

/// Computes `y = F(x)`.
pub(crate) fn function<F: Function>(x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "arrays of different sizes");
    Isa::best().run(OfOne::<F> { x, y, function: PhantomData });
}

/// Computes `y = f(a, b)`; an operand of one element is repeated.
pub(crate) fn binary([a, b]: [&[f32]; 2], y: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    match (a, b) {
        (&[a], &[b]) => y.fill(f(a, b)),
        (&[a], b) => unary(b, y, |b| f(a, b)),
        (a, &[b]) => unary(a, y, |a| f(a, b)),
        _ => {
            assert_eq!((a.len(), b.len()), (y.len(), y.len()), "arrays of different sizes");
            Isa::best().run(Binary { a, b, y, f });
        }
    }
}

/// Computes `y = f(a, b, c)`; an operand of one element is repeated.
pub(crate) fn ternary([a, b, c]: [&[f32]; 3], y: &mut [f32], f: impl Fn(f32, f32, f32) -> f32) {
    match (a, b, c) {
        (&[a], b, c) => binary([b, c], y, |b, c| f(a, b, c)),
        (a, &[b], c) => binary([a, c], y, |a, c| f(a, b, c)),
        (a, b, &[c]) => binary([a, b], y, |a, b| f(a, b, c)),
        _ => {
            assert_eq!([a.len(), b.len(), c.len()], [y.len(); 3], "arrays of different sizes");
            Isa::best().run(Ternary { a, b, c, y, f });
        }
    }
}

/// Computes `sum += part`.
pub(crate) fn add_assign(sum: &mut [f32], part: &[f32]) {
    assert_eq!(sum.len(), part.len(), "arrays of different sizes");
    for (sum, &part) in sum.iter_mut().zip(part) {
        *sum += part;
    }
}

struct Unary<'a, F> {
    x: &'a [f32],
    y: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32) -> f32> Job for Unary<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = (self.f)(x);
        }
    }
}

struct OfOne<'a, F> {
    x: &'a [f32],
    y: &'a mut [f32],
    function: PhantomData<F>,
}

impl<F: Function> Job for OfOne<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let pairs = self.y.iter_mut().zip(self.x);
        if V::FUSED {
            pairs.for_each(|(y, &x)| *y = F::value::<true>(x));
        } else {
            pairs.for_each(|(y, &x)| *y = F::value::<false>(x));
        }
    }
}

struct Binary<'a, F> {
    a: &'a [f32],
    b: &'a [f32],
    y: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> Job for Binary<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for ((y, &a), &b) in self.y.iter_mut().zip(self.a).zip(self.b) {
            *y = (self.f)(a, b);
        }
    }
}

struct Ternary<'a, F> {
    a: &'a [f32],
    b: &'a [f32],
    c: &'a [f32],
    y: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32, f32, f32) -> f32> Job for Ternary<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for (((y, &a), &b), &c) in self.y.iter_mut().zip(self.a).zip(self.b).zip(self.c) {
            *y = (self.f)(a, b, c);
        }
    }
}

/// max(x, 0); NaN is preserved.
#[inline]
pub(crate) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// ln(1 + eˣ), without overflow and accurate for small results.
#[inline]
pub(crate) fn softplus(x: f32) -> f32 {
    relu(x) + super::functions::exp::<false>(-x.abs()).ln_1p()
}

/// Maximum; NaN if either operand is NaN.
#[inline]
pub(crate) fn max(a: f32, b: f32) -> f32 {
    let larger = if a > b { a } else { b };
    if a.is_nan() { a } else { larger }
}

/// Minimum; NaN if either operand is NaN.
#[inline]
pub(crate) fn min(a: f32, b: f32) -> f32 {
    let smaller = if a < b { a } else { b };
    if a.is_nan() { a } else { smaller }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_arguments_stay_finite_and_small_results_survive() {
        assert_eq!(softplus(100.0), 100.0);
        assert!((softplus(-80.0) / (-80.0_f32).exp() - 1.0).abs() < 1e-6);
        assert!((softplus(0.3) - 0.854_355_2).abs() < 1e-6);
    }

    #[test]
    fn nan_spreads() {
        for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN)] {
            assert!(max(a, b).is_nan() && min(a, b).is_nan());
        }
        for f in [relu, softplus] {
            assert!(f(f32::NAN).is_nan());
        }
        assert_eq!((max(1.0, 2.0), min(1.0, 2.0), relu(-1.0), relu(3.0)), (2.0, 1.0, 0.0, 3.0));
    }

    #[test]
    fn single_operands_are_repeated() {
        let x = [[2.0, 3.0, 5.0], [7.0, 11.0, 13.0], [17.0, 19.0, 23.0]];
        for (n, code) in [1, 3].into_iter().flat_map(|n| (0..8).map(move |code| (n, code))) {
            let len = |k: usize| if code >> k & 1 == 1 { 1 } else { n };
            let [a, b, c] = [0, 1, 2].map(|k| &x[k][..len(k)]);
            let at = |k: usize, i: usize| x[k][if len(k) == 1 { 0 } else { i }];
            let (mut two, mut three) = (vec![0.0; n], vec![0.0; n]);
            binary([a, b], &mut two, |a, b| a - b);
            ternary([a, b, c], &mut three, |a, b, c| a - b / c);
            for i in 0..n {
                assert_eq!((two[i], three[i]), (at(0, i) - at(1, i), at(0, i) - at(1, i) / at(2, i)));
            }
        }
    }

    #[test]
    fn sums_add_up() {
        let mut y = [0.0, 6.0];
        add_assign(&mut y, &[1.0, 1.0]);
        assert_eq!(y, [1.0, 7.0]);
    }
}
