//! Sums and extrema over axes.

/// Number of parallel partial sums.
const LANES: usize = 16;
/// Maximum number of elements summed directly; longer sums are split in halves.
const BLOCK: usize = 256;

/// Σ x. Blocks of 256 elements are summed in 16 lanes and then added pairwise, so the error grows with the logarithm of
/// the length. The order depends on the length only.
pub(crate) fn sum(x: &[f32]) -> f32 {
    if x.len() > BLOCK {
        let (left, right) = x.split_at((x.len() / 2).next_multiple_of(BLOCK));
        return sum(left) + sum(right);
    }
    let mut lanes = [0.0_f32; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for (lane, v) in lanes.iter_mut().zip(block) {
            *lane += v;
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *lane += v;
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
    }
    lanes[0]
}

/// Σ a · b, in the order of [`sum`].
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "arrays of different sizes");
    if a.len() > BLOCK {
        let middle = (a.len() / 2).next_multiple_of(BLOCK);
        return dot(&a[..middle], &b[..middle]) + dot(&a[middle..], &b[middle..]);
    }
    let mut products = [0.0_f32; BLOCK];
    for ((product, a), b) in products.iter_mut().zip(a).zip(b) {
        *product = a * b;
    }
    sum(&products[..a.len()])
}

/// Σ (x − centre)², in the order of [`sum`].
pub(crate) fn squared_deviations(x: &[f32], centre: f32) -> f32 {
    if x.len() > BLOCK {
        let (left, right) = x.split_at((x.len() / 2).next_multiple_of(BLOCK));
        return squared_deviations(left, centre) + squared_deviations(right, centre);
    }
    let mut squares = [0.0_f32; BLOCK];
    for (square, x) in squares.iter_mut().zip(x) {
        *square = (x - centre) * (x - centre);
    }
    sum(&squares[..x.len()])
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

    /// Computes `y[i] = combine(y[i], fold(the elements of x that belong to output i))`. `fold` is applied to
    /// contiguous runs of elements, and then to the results of the runs.
    pub(crate) fn run(
        &self,
        x: &[f32],
        y: &mut [f32],
        fold: impl Fn(&[f32]) -> f32,
        combine: impl Fn(f32, f32) -> f32,
    ) {
        let (outer, run) = match self.reduced.as_slice() {
            [outer @ .., (size, 1)] => (outer, *size),
            outer => (outer, 1),
        };
        let mut parts = Vec::new();
        let mut outputs = y.iter_mut();
        for_each_offset(&self.kept, 0, &mut |start| {
            let Some(y) = outputs.next() else { return };
            if outer.is_empty() {
                *y = combine(*y, fold(&x[start..start + run]));
                return;
            }
            parts.clear();
            for_each_offset(outer, start, &mut |at| {
                parts.push(if run == 1 { x[at] } else { fold(&x[at..at + run]) });
            });
            *y = combine(*y, fold(&parts));
        });
        assert!(outputs.next().is_none(), "an output of another size");
    }
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
                walk.run(&x, &mut y, sum, |old, new| old + new);
                assert_eq!(y, sums, "{shape:?} {reduced:?}");
                walk.run(&x, &mut y, |x| x.iter().copied().fold(f32::NEG_INFINITY, f32::max), |_, new| new);
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
