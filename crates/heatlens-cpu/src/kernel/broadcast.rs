//! Iteration over arrays of different shapes, broadcast to a common one.

use std::ops::Range;

/// Positions of K operands relative to one output. Adjacent axes with compatible strides in all operands are merged, so
/// that the innermost run is as long as possible: equal shapes give a single run, a value per channel gives one run per
/// channel.
#[derive(Clone, Debug)]
pub(crate) struct Broadcast<const K: usize> {
    /// Sizes of the merged axes, outermost first; never empty.
    sizes: Vec<usize>,
    /// Stride of each operand, for each merged axis.
    strides: Vec<[usize; K]>,
}

impl<const K: usize> Broadcast<K> {
    /// Broadcasts operands of `shapes` to `output`, as in NumPy.
    pub(crate) fn new(output: &[usize], shapes: [&[usize]; K]) -> Self {
        Self::merged(output, &shapes.map(|shape| repeating_strides(shape, output.len())))
    }

    fn merged(output: &[usize], strides: &[Vec<usize>; K]) -> Self {
        let mut walk = Self { sizes: Vec::new(), strides: Vec::new() };
        for (axis, &size) in output.iter().enumerate().filter(|(_, size)| **size != 1) {
            let inner: [usize; K] = std::array::from_fn(|k| strides[k][axis]);
            match (walk.sizes.last_mut(), walk.strides.last_mut()) {
                (Some(outer_size), Some(outer)) if (0..K).all(|k| outer[k] == inner[k] * size) => {
                    *outer_size *= size;
                    *outer = inner;
                }
                _ => {
                    walk.sizes.push(size);
                    walk.strides.push(inner);
                }
            }
        }
        if walk.sizes.is_empty() {
            walk.sizes.push(1);
            walk.strides.push([0; K]);
        }
        walk
    }

    /// Returns the operands' strides within the innermost run.
    pub(crate) fn inner_strides(&self) -> [usize; K] {
        self.strides.last().copied().unwrap_or([0; K])
    }

    /// Calls `visit(start in the output, starts in the operands, length)` for every innermost run.
    pub(crate) fn for_each_run(&self, visit: impl FnMut(usize, [usize; K], usize)) {
        self.for_each_run_in(0..self.sizes.iter().product(), visit);
    }

    /// Same as [`for_each_run`](Self::for_each_run) for a part of the output; the first and last run may be partial.
    fn for_each_run_in(&self, part: Range<usize>, mut visit: impl FnMut(usize, [usize; K], usize)) {
        let (Some((&run, sizes)), false) = (self.sizes.split_last(), part.is_empty()) else { return };
        let inner = self.inner_strides();
        let first = part.start / run;
        let mut index: Vec<usize> = (0..sizes.len()).map(|axis| self.index_along(axis, first)).collect();
        let mut starts = self.starts(first);
        for place in first..part.end.div_ceil(run) {
            let skipped = part.start.saturating_sub(place * run);
            let end = run.min(part.end - place * run);
            visit(
                place * run + skipped,
                std::array::from_fn(|k| starts[k] + skipped * inner[k]),
                end - skipped,
            );
            // Advances to the next index like an odometer.
            for axis in (0..sizes.len()).rev() {
                index[axis] += 1;
                if index[axis] < sizes[axis] {
                    (0..K).for_each(|k| starts[k] += self.strides[axis][k]);
                    break;
                }
                (0..K).for_each(|k| starts[k] -= self.strides[axis][k] * (sizes[axis] - 1));
                index[axis] = 0;
            }
        }
    }

    /// Returns the index of a run along an outer axis.
    fn index_along(&self, axis: usize, run: usize) -> usize {
        let inside: usize = self.sizes[axis + 1..self.sizes.len() - 1].iter().product();
        run / inside % self.sizes[axis]
    }

    /// Returns the start of a run in the operands.
    fn starts(&self, run: usize) -> [usize; K] {
        let outer = 0..self.sizes.len() - 1;
        outer.fold([0; K], |starts, axis| {
            let index = self.index_along(axis, run);
            std::array::from_fn(|k| starts[k] + index * self.strides[axis][k])
        })
    }
}

impl Broadcast<1> {
    /// One operand with given strides, for example of a transposition.
    pub(crate) fn with_strides(output: &[usize], strides: &[usize]) -> Self {
        Self::merged(output, &[strides.to_vec()])
    }

    /// Copies to `y[i]` the element of `x` at the position of i.
    pub(crate) fn gather(&self, x: &[f32], y: &mut [f32]) {
        self.gather_from(x, 0, y);
    }

    /// Same as [`gather`](Self::gather), for the part of the output that starts at `start`.
    pub(crate) fn gather_from(&self, x: &[f32], start: usize, y: &mut [f32]) {
        let [stride] = self.inner_strides();
        self.for_each_run_in(start..start + y.len(), |at, [from], run| {
            let y = &mut y[at - start..][..run];
            match stride {
                0 => y.fill(x[from]),
                1 => y.copy_from_slice(&x[from..from + run]),
                _ => y.iter_mut().zip(x[from..].iter().step_by(stride)).for_each(|(y, &x)| *y = x),
            }
        });
    }

    /// Returns the operand for the part of the output that starts at `start` and has the length of `room`: a part of x
    /// if it is contiguous there, a single element if it is repeated, otherwise gathered in `room`.
    pub(crate) fn read<'a>(&self, x: &'a [f32], start: usize, room: &'a mut [f32]) -> &'a [f32] {
        let (len, run) = (room.len(), self.sizes.last().copied().unwrap_or(1).max(1));
        let ([stride], skipped) = (self.inner_strides(), start % run);
        if stride > 1 || skipped + len > run {
            self.gather_from(x, start, room);
            return room;
        }
        let [from] = self.starts(start / run);
        if stride == 0 { &x[from..=from] } else { &x[from + skipped..][..len] }
    }
}

/// Returns the row-major strides of `shape`, aligned to the last of `rank` axes; repeated axes have stride 0.
fn repeating_strides(shape: &[usize], rank: usize) -> Vec<usize> {
    assert!(shape.len() <= rank, "an operand of more axes than the output");
    let mut strides = vec![0; rank];
    let mut step = 1;
    for (stride, &size) in strides.iter_mut().rev().zip(shape.iter().rev()) {
        *stride = if size == 1 { 0 } else { step };
        step *= size;
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(output: &[usize], a: &[usize], b: &[usize]) -> Vec<(usize, [usize; 2], usize)> {
        let mut seen = Vec::new();
        Broadcast::new(output, [a, b]).for_each_run(|at, starts, run| seen.push((at, starts, run)));
        seen
    }

    #[test]
    fn axes_that_move_alike_are_one_run() {
        assert_eq!(runs(&[2, 3, 4], &[2, 3, 4], &[2, 3, 4]), [(0, [0, 0], 24)]);
        assert_eq!(runs(&[2, 3], &[2, 3], &[]), [(0, [0, 0], 6)]);
        assert_eq!(runs(&[], &[], &[]), [(0, [0, 0], 1)]);
        assert_eq!(runs(&[0, 3], &[0, 3], &[3]), []);
        assert_eq!(runs(&[1, 2, 3, 4], &[1, 2, 3, 4], &[2, 1, 1]), [(0, [0, 0], 12), (12, [12, 1], 12)]);
    }

    #[test]
    fn both_operands_can_repeat() {
        assert_eq!(runs(&[2, 3], &[2, 1], &[3]), [(0, [0, 0], 3), (3, [1, 0], 3)]);
        let expected = [(0, [0, 0], 2), (2, [0, 2], 2), (4, [1, 0], 2), (6, [1, 2], 2)];
        assert_eq!(runs(&[2, 2, 2], &[2, 1, 1], &[2, 2]).len(), 2);
        assert_eq!(runs(&[2, 2, 2], &[2, 1, 1], &[1, 2, 2]), [(0, [0, 0], 4), (4, [1, 0], 4)]);
        let mut seen = Vec::new();
        Broadcast::<2>::merged(&[2, 2, 2], &[vec![1, 0, 0], vec![0, 2, 9]])
            .for_each_run(|at, starts, run| seen.push((at, starts, run)));
        assert_eq!(seen, expected);
    }

    #[test]
    fn any_part_reads_as_the_whole() {
        let shapes: [(&[usize], &[usize]); 6] = [
            (&[2, 3, 4], &[2, 3, 4]),
            (&[2, 3, 4], &[3, 1]),
            (&[2, 3, 4], &[2, 1, 4]),
            (&[2, 3, 4], &[]),
            (&[2, 3, 4], &[4]),
            (&[2, 0, 4], &[4]),
        ];
        for (output, shape) in shapes {
            let x: Vec<f32> = (0..shape.iter().product()).map(|i: usize| i as f32).collect();
            let walk = Broadcast::new(output, [shape]);
            let mut whole = vec![-1.0; output.iter().product()];
            walk.gather(&x, &mut whole);
            for (start, end) in (0..=whole.len()).flat_map(|a| (a..=whole.len()).map(move |b| (a, b))) {
                if start == end {
                    continue;
                }
                let mut room = vec![-1.0; end - start];
                let part = walk.read(&x, start, &mut room);
                let repeated = part.len() == 1;
                let same = (start..end).all(|i| part[if repeated { 0 } else { i - start }] == whole[i]);
                assert!(
                    same && (repeated || part.len() == end - start),
                    "{output:?} {shape:?} {start}..{end}"
                );
            }
        }
    }

    #[test]
    fn any_transposition_gathers() {
        let shape = [2, 3, 4, 5];
        let x: Vec<f32> = (0..120).map(|i| i as f32).collect();
        for code in 0..256 {
            let order = [code / 64, code / 16 % 4, code / 4 % 4, code % 4];
            if (0..4).any(|axis| !order.contains(&axis)) {
                continue;
            }
            let strides = order.map(|axis| shape[axis + 1..].iter().product::<usize>());
            let output = order.map(|axis| shape[axis]);
            let mut y = vec![0.0; 120];
            Broadcast::with_strides(&output, &strides).gather(&x, &mut y);
            for (i, &found) in y.iter().enumerate() {
                let [_, b, c, d] = output;
                let index = [i / (b * c * d), i / (c * d) % b, i / d % c, i % d];
                let from: usize = (0..4).map(|a| index[a] * strides[a]).sum();
                assert_eq!(found, x[from], "{order:?}");
            }
        }
    }
}
