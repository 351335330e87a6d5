//! Sums and extrema over axes.

use std::marker::PhantomData;

use super::elementwise::{max, min};
use super::simd::{Isa, Job, Vector};
use super::workers::Workers;

/// Number of parallel partial results.
const LANES: usize = 16;
/// Maximum number of elements summed directly; longer sums are split in halves.
const BLOCK: usize = 256;
/// Elements per task: some microseconds of work.
const TASK: usize = 1 << 13;

/// A function of any number of elements that is computed from two at a time.
pub(crate) trait Fold {
    /// Result without elements.
    const START: f32;
    /// Maximum number of elements that are combined lane by lane; longer rows are split in halves.
    const MOST: usize;

    /// Returns the result of two results.
    fn pair(a: f32, b: f32) -> f32;
}

/// Σ x. Blocks of 256 elements are summed in 16 lanes and then added pairwise, so the error grows with the logarithm of
/// the length. The order depends on the length only.
pub(crate) struct Sum;
/// Largest element; NaN if there is one.
pub(crate) struct Max;
/// Smallest element; NaN if there is one.
pub(crate) struct Min;
/// Π x.
pub(crate) struct Prod;

/// Implements [`Fold`].
macro_rules! folds {
    ($($name:ident: $start:expr, $most:expr, $pair:expr;)*) => {
        $(
            impl Fold for $name {
                const START: f32 = $start;
                const MOST: usize = $most;

                #[inline(always)]
                fn pair(a: f32, b: f32) -> f32 {
                    $pair(a, b)
                }
            }
        )*
    };
}

folds! {
    Sum: 0.0, BLOCK, std::ops::Add::add;
    Max: f32::NEG_INFINITY, usize::MAX, max;
    Min: f32::INFINITY, usize::MAX, min;
    Prod: 1.0, BLOCK, std::ops::Mul::mul;
}

/// Combines elements lane by lane, and then the lanes.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // see below
fn block<F: Fold>(x: &[f32]) -> f32 {
    let mut lanes = [F::START; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    // Plain loops: an iterator's methods may not be inlined, and are then compiled without the instruction set.
    for block in blocks {
        for i in 0..LANES {
            lanes[i] = F::pair(lanes[i], block[i]);
        }
    }
    if !rest.is_empty() {
        let mut last = [F::START; LANES];
        last[..rest.len()].copy_from_slice(rest);
        for i in 0..LANES {
            lanes[i] = F::pair(lanes[i], last[i]);
        }
    }
    let eight: [f32; 8] = halved::<F, _, _>(lanes);
    let four: [f32; 4] = halved::<F, _, _>(eight);
    let [a, b]: [f32; 2] = halved::<F, _, _>(four);
    F::pair(a, b)
}

/// Combines both halves of an array. (Halving in place would make every step wait for the memory.)
#[inline(always)]
fn halved<F: Fold, const N: usize, const HALF: usize>(x: [f32; N]) -> [f32; HALF] {
    let mut half = [F::START; HALF];
    for i in 0..HALF {
        half[i] = F::pair(x[i], x[i + HALF]);
    }
    half
}

/// Combines the results of the blocks of `len` elements, half by half.
fn tree<F: Fold>(blocks: &[f32], len: usize) -> f32 {
    if len <= F::MOST {
        return blocks[0];
    }
    let middle = (len / 2).next_multiple_of(F::MOST);
    let (left, right) = blocks.split_at(middle / F::MOST);
    F::pair(tree::<F>(left, middle), tree::<F>(right, len - middle))
}

/// Combines the results of blocks of up to [`Fold::MOST`] elements; `of(start, end)` returns that of a block.
#[inline(always)]
fn by_blocks<F: Fold>(len: usize, of: impl Fn(usize, usize) -> f32) -> f32 {
    /// Number of results for which no memory is allocated.
    const FEW: usize = 8;
    if len <= F::MOST {
        return of(0, len);
    }
    let count = len.div_ceil(F::MOST);
    let (mut few, mut many) = ([F::START; FEW], Vec::new());
    let blocks = if count <= FEW {
        &mut few[..count]
    } else {
        many.resize(count, F::START);
        &mut many[..]
    };
    for (i, block) in blocks.iter_mut().enumerate() {
        let start = i * F::MOST;
        *block = of(start, start + F::MOST.min(len - start));
    }
    tree::<F>(blocks, len)
}

/// Combines elements.
#[inline(always)]
pub(crate) fn fold<F: Fold>(x: &[f32]) -> f32 {
    by_blocks::<F>(x.len(), |start, end| block::<F>(&x[start..end]))
}

/// Returns Σ x in the order of [`Sum`].
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    fold::<Sum>(x)
}

/// Returns Σ a · b in the order of [`Sum`].
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "arrays of different sizes");
    by_blocks::<Sum>(a.len(), |start, end| {
        let mut products = [0.0_f32; BLOCK];
        for i in start..end {
            products[i - start] = a[i] * b[i];
        }
        block::<Sum>(&products[..end - start])
    })
}

/// Returns Σ (x − centre)² in the order of [`Sum`].
#[inline(always)]
pub(crate) fn squared_deviations(x: &[f32], centre: f32) -> f32 {
    by_blocks::<Sum>(x.len(), |start, end| {
        let mut squares = [0.0_f32; BLOCK];
        for i in start..end {
            squares[i - start] = (x[i] - centre) * (x[i] - centre);
        }
        block::<Sum>(&squares[..end - start])
    })
}

/// Sizes and strides of axes, outermost first.
type Axes = Vec<(usize, usize)>;

/// Reduced and kept axes of an array; adjacent axes of the same kind are merged.
#[derive(Clone, Debug)]
pub(crate) struct ReduceWalk {
    reduced: Axes,
    kept: Axes,
}

impl ReduceWalk {
    /// Creates a walk; `reduced` holds a flag for each axis of `shape`.
    pub(crate) fn new(shape: &[usize], reduced: &[bool]) -> Self {
        assert_eq!(shape.len(), reduced.len(), "flags for another number of axes");
        let mut merged: Vec<(usize, usize, bool)> = Vec::new();
        let mut stride = 1;
        for (&size, &flag) in shape.iter().zip(reduced).rev() {
            match merged.last_mut() {
                _ if size == 1 => {}
                Some((inner, _, same)) if *same == flag => *inner *= size,
                _ => merged.push((size, stride, flag)),
            }
            stride *= size;
        }
        let of = |flag| merged.iter().rev().filter(|m| m.2 == flag).map(|m| (m.0, m.1)).collect();
        Self { reduced: of(true), kept: of(false) }
    }

    /// Computes `y[i] = combine(y[i], F of the elements of x that belong to output i)`. The order in which they are
    /// combined depends on the shape only.
    pub(crate) fn run<F: Fold>(
        &self,
        x: &[f32],
        y: &mut [f32],
        combine: impl Fn(f32, f32) -> f32 + Sync,
        workers: Workers,
    ) {
        match (self.reduced.as_slice(), self.kept.as_slice()) {
            (&[(len, 1)], &([] | [_])) => {
                assert_eq!(x.len(), y.len() * len, "an output of another size");
                let rows = TASK.div_ceil(len.max(1));
                workers.for_each_chunk(y, rows, |task, y| {
                    let x = &x[task * rows * len..][..y.len() * len];
                    Isa::best().run(Rows::<F, _> { x, y, len, combine: &combine, fold: PhantomData });
                });
            }
            (&[(_, stride)], &([(_, 1)] | [])) if stride == y.len() => {
                let columns = columns::<F>(x, y.len());
                y.iter_mut().zip(columns).for_each(|(y, column)| *y = combine(*y, column));
            }
            _ => self.run_any::<F>(x, y, combine),
        }
    }

    /// Same for any order of axes: contiguous runs of elements are combined, and then the results of the runs.
    fn run_any<F: Fold>(&self, x: &[f32], y: &mut [f32], combine: impl Fn(f32, f32) -> f32) {
        let (outer, run) = match self.reduced.as_slice() {
            [outer @ .., (size, 1)] => (outer, *size),
            outer => (outer, 1),
        };
        let mut parts = Vec::new();
        let mut outputs = y.iter_mut();
        for_each_offset(&self.kept, 0, &mut |start| {
            let Some(y) = outputs.next() else { return };
            parts.clear();
            for_each_offset(outer, start, &mut |at| {
                parts.push(if run == 1 { x[at] } else { fold::<F>(&x[at..at + run]) });
            });
            *y = combine(*y, fold::<F>(&parts));
        });
        assert!(outputs.next().is_none(), "an output of another size");
    }
}

/// A task: a result for each row of `len` elements.
struct Rows<'a, F, C> {
    x: &'a [f32],
    y: &'a mut [f32],
    len: usize,
    combine: &'a C,
    fold: PhantomData<F>,
}

impl<F: Fold, C: Fn(f32, f32) -> f32> Job for Rows<'_, F, C> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for (i, y) in self.y.iter_mut().enumerate() {
            *y = (self.combine)(*y, fold::<F>(&self.x[i * self.len..(i + 1) * self.len]));
        }
    }
}

/// A task: `to = F(to, from)`, element by element.
struct Pairs<'a, F> {
    to: &'a mut [f32],
    from: &'a [f32],
    fold: PhantomData<F>,
}

impl<F: Fold> Job for Pairs<'_, F> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            *to = F::pair(*to, from);
        }
    }
}

/// Combines rows of `len` elements to one: [`LANES`] rows, and then the results of all of them.
fn columns<F: Fold>(x: &[f32], len: usize) -> Vec<f32> {
    let mut total = vec![F::START; len];
    let mut part = vec![F::START; len];
    for rows in x.chunks(LANES * len) {
        part.fill(F::START);
        for row in rows.chunks(len) {
            Isa::best().run(Pairs::<F> { to: &mut part, from: row, fold: PhantomData });
        }
        Isa::best().run(Pairs::<F> { to: &mut total, from: &part, fold: PhantomData });
    }
    total
}

/// Calls `visit` with the offset of every index over the axes, in order.
fn for_each_offset(axes: &[(usize, usize)], start: usize, visit: &mut dyn FnMut(usize)) {
    match axes {
        [] => visit(start),
        [(size, stride), inner @ ..] => {
            (0..*size).for_each(|i| for_each_offset(inner, start + i * stride, visit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_axes_agree_with_indices() {
        for shape in [[2, 3, 4, 5], [1, 3, 1, 5], [2, 1, 70, 1]] {
            let len = shape.iter().product::<usize>();
            let x: Vec<f32> = (0..len).map(|i| ((i * 37) % 11) as f32).collect();
            for bits in 0..16_usize {
                let reduced: Vec<bool> = (0..4).map(|a| bits >> a & 1 == 1).collect();
                let kept: Vec<usize> = (0..4).map(|a| if reduced[a] { 1 } else { shape[a] }).collect();
                let (mut sums, mut tops) =
                    (vec![1.0; kept.iter().product()], vec![0.0; kept.iter().product()]);
                for (i, &v) in x.iter().enumerate() {
                    let mut rest = i;
                    let mut index = [0; 4];
                    for a in (0..4).rev() {
                        index[a] = rest % shape[a];
                        rest /= shape[a];
                    }
                    let at = (0..4).fold(0, |at, a| at * kept[a] + if reduced[a] { 0 } else { index[a] });
                    sums[at] += v;
                    tops[at] = f32::max(tops[at], v);
                }
                let walk = ReduceWalk::new(&shape, &reduced);
                let mut y = vec![1.0; sums.len()];
                walk.run::<Sum>(&x, &mut y, |old, new| old + new, Workers::Pool);
                assert_eq!(y, sums, "{shape:?} {reduced:?}");
                walk.run::<Max>(&x, &mut y, |_, new| new, Workers::Serial);
                assert_eq!(y, tops, "{shape:?} {reduced:?}");
            }
        }
    }

    #[test]
    fn a_long_sum_keeps_its_digits() {
        let x = vec![0.1_f32; 1_000_003];
        let exact = f64::from(0.1_f32) * 1_000_003.0;
        assert!((f64::from(sum(&x)) / exact - 1.0).abs() < 1e-6, "{}", sum(&x));
    }
}
