//! Functions of one, two or three values, element by element.

use super::broadcast::Broadcast;
use super::simd::{Isa, Job, Vector};

/// `y = f(x)`.
pub(crate) fn unary(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    assert_eq!(x.len(), y.len(), "arrays of different sizes");
    Isa::best().run(Unary { x, y, f });
}

/// `y = f(a, b)`, broadcast.
pub(crate) fn binary(walk: &Broadcast<2>, [a, b]: [&[f32]; 2], y: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    Isa::best().run(Binary { walk, operands: [a, b], y, f });
}

/// `y = if mask ≠ 0 { a } else { b }`, broadcast.
pub(crate) fn select(walk: &Broadcast<3>, [mask, a, b]: [&[f32]; 3], y: &mut [f32]) {
    let strides = walk.inner_strides();
    walk.for_each_run(|at, starts, run| {
        for (i, y) in y[at..at + run].iter_mut().enumerate() {
            let pick = |k: usize, x: &[f32]| x[starts[k] + i * strides[k]];
            *y = if pick(0, mask) != 0.0 { pick(1, a) } else { pick(2, b) };
        }
    });
}

/// `y = if gate > 0 { g } else { 0 }`: the derivative of ReLU.
pub(crate) fn relu_gate(gate: &[f32], g: &[f32], y: &mut [f32]) {
    assert_eq!((gate.len(), g.len()), (y.len(), y.len()), "arrays of different sizes");
    Isa::best().run(Zip { a: gate, b: g, y, f: |gate, g| if gate > 0.0 { g } else { 0.0 } });
}

/// `sum += part`.
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

struct Zip<'a, F> {
    a: &'a [f32],
    b: &'a [f32],
    y: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> Job for Zip<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for ((y, &a), &b) in self.y.iter_mut().zip(self.a).zip(self.b) {
            *y = (self.f)(a, b);
        }
    }
}

struct Binary<'a, F> {
    walk: &'a Broadcast<2>,
    operands: [&'a [f32]; 2],
    y: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> Job for Binary<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { walk, operands: [a, b], y, f } = self;
        let strides = walk.inner_strides();
        walk.for_each_run(|at, starts, run| {
            let (a, b) = (&a[starts[0]..], &b[starts[1]..]);
            let y = &mut y[at..at + run];
            match strides {
                [1, 1] => y.iter_mut().zip(&a[..run]).zip(&b[..run]).for_each(|((y, &a), &b)| *y = f(a, b)),
                [1, 0] => y.iter_mut().zip(&a[..run]).for_each(|(y, &a)| *y = f(a, b[0])),
                [0, 1] => y.iter_mut().zip(&b[..run]).for_each(|(y, &b)| *y = f(a[0], b)),
                _ => y.iter_mut().enumerate().for_each(|(i, y)| *y = f(a[i * strides[0]], b[i * strides[1]])),
            }
        });
    }
}

/// max(x, 0); NaN stays NaN.
#[inline]
pub(crate) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// ln(1 + eˣ), without overflow and without losing small results.
#[inline]
pub(crate) fn softplus(x: f32) -> f32 {
    relu(x) + super::functions::exp(-x.abs()).ln_1p()
}

/// The larger; NaN if either is.
#[inline]
pub(crate) fn max(a: f32, b: f32) -> f32 {
    let larger = if a > b { a } else { b };
    if a.is_nan() { a } else { larger }
}

/// The smaller; NaN if either is.
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
    fn every_stride_pattern_agrees_with_indices() {
        let a: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let shapes: [&[usize]; 6] = [&[2, 3, 4], &[3, 1], &[2, 1, 4], &[], &[4], &[2, 1, 1]];
        for (sa, sb) in shapes.iter().flat_map(|a| shapes.iter().map(move |b| (*a, *b))) {
            let (mut sum, mut chosen) = (vec![0.0; 24], vec![0.0; 24]);
            binary(&Broadcast::new(&[2, 3, 4], [sa, sb]), [&a, &a], &mut sum, |a, b| 100.0 * a + b);
            select(&Broadcast::new(&[2, 3, 4], [sa, sb, &[4]]), [&a, &a, &[-1.0; 4]], &mut chosen);
            for i in 0..24 {
                let index = [i / 12, i / 4 % 3, i % 4];
                let at = |shape: &[usize]| {
                    let own = &index[3 - shape.len()..];
                    shape.iter().zip(own).fold(0, |at, (d, i)| at * d + if *d == 1 { 0 } else { *i })
                };
                assert_eq!(sum[i], 100.0 * a[at(sa)] + a[at(sb)]);
                assert_eq!(chosen[i], if at(sa) == 0 { -1.0 } else { a[at(sb)] });
            }
        }
    }

    #[test]
    fn gates_and_sums() {
        let mut y = [9.0; 4];
        relu_gate(&[0.0, 1.0, -1.0, f32::NAN], &[5.0, 6.0, 7.0, 8.0], &mut y);
        assert_eq!(y, [0.0, 6.0, 0.0, 0.0]);
        add_assign(&mut y, &[1.0, 1.0, 1.0, 1.0]);
        assert_eq!(y, [1.0, 7.0, 1.0, 1.0]);
    }
}
