//! Dot products of rows with shifted streams: `c[m][n] += Σⱼ a[m · pitch + j] · b[offsets[n] + j]`.
//!
//! In a sense the transpose of [`stream_gemm`](super::stream_gemm): used for the gradient of a convolution with respect
//! to its weights, and for products of matrices whose rows are both contiguous. A tile of vectors of partial sums runs
//! along j in blocks; lanes are added once at the end, in a fixed order.

use super::simd::{Isa, Job, Vector};
use super::workers::{SharedSlice, Workers};

/// Floating-point operations per task: some microseconds of work.
const TASK_FLOPS: usize = 1 << 20;

/// Number of vectors summed separately before they are added to the total, which keeps sums and rounding errors small.
const BLOCK: usize = 128;

/// Shape of the products, prepared for an instruction set.
#[derive(Clone, Debug)]
pub(crate) struct StreamDot {
    isa: Isa,
    m: usize,
    /// Distance between adjacent rows of `a`.
    pitch: usize,
    offsets: Vec<usize>,
    /// Number of terms j.
    len: usize,
}

impl StreamDot {
    pub(crate) fn new(isa: Isa, m: usize, pitch: usize, offsets: Vec<usize>, len: usize) -> Self {
        Self { isa, m, pitch, offsets, len }
    }

    /// Adds `groups` blocks of products to `c`, each m×(number of offsets). Group g reads `a` and `b` starting at g
    /// times their strides.
    pub(crate) fn run(
        &self,
        groups: usize,
        (a, a_stride): (&[f32], usize),
        (b, b_stride): (&[f32], usize),
        c: &mut [f32],
        workers: Workers,
    ) {
        let n = self.offsets.len();
        assert_eq!(c.len(), groups * self.m * n, "a result of another size");
        if c.is_empty() || self.len == 0 {
            return;
        }
        let last = self.offsets.iter().max().copied().unwrap_or(0);
        let (a_reach, b_reach) = ((self.m - 1) * self.pitch + self.len, last + self.len);
        assert!(a.len() >= (groups - 1) * a_stride + a_reach, "rows end too early");
        assert!(b.len() >= (groups - 1) * b_stride + b_reach, "streams end too early");
        let columns = self.tile().1;
        let column_tiles = n.div_ceil(columns);
        let step = TASK_FLOPS.div_ceil(2 * self.m * columns * self.len).min(column_tiles);
        let tasks = column_tiles.div_ceil(step);
        let c = SharedSlice::new(c);
        workers.for_each(groups * tasks, |task| {
            let (group, first) = (task / tasks, task % tasks * step * columns);
            self.isa.run(Dots {
                dot: self,
                a: &a[group * a_stride..][..a_reach],
                b: &b[group * b_stride..][..b_reach],
                c,
                start: group * self.m * n,
                columns: (first, (first + step * columns).min(n)),
            });
        });
    }

    /// Returns the rows and columns of a tile.
    fn tile(&self) -> (usize, usize) {
        match (self.m, self.isa) {
            (1, _) => (1, 9),
            (_, Isa::Avx512) => (4, 6),
            _ => (3, 4),
        }
    }
}

/// A task: a range of columns of one group, for all rows.
struct Dots<'a> {
    dot: &'a StreamDot,
    a: &'a [f32],
    b: &'a [f32],
    c: SharedSlice<'a>,
    /// Start of the group's results.
    start: usize,
    columns: (usize, usize),
}

impl Job for Dots<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the caller guarantees the instruction set.
        unsafe {
            match self.dot.tile() {
                (1, _) => self.tiles::<V, 1, 9>(),
                (4, _) => self.tiles::<V, 4, 6>(),
                _ => self.tiles::<V, 3, 4>(),
            }
        }
    }
}

impl Dots<'_> {
    #[inline(always)]
    unsafe fn tiles<V: Vector, const M: usize, const N: usize>(&self) {
        let StreamDot { m, pitch, offsets, len, .. } = self.dot;
        // The streams of a tile stay in the cache while all rows are processed.
        for column in (self.columns.0..self.columns.1).step_by(N) {
            for row in (0..*m).step_by(M) {
                // Tiles at the edge repeat the last row or column and discard the result.
                let mut rows = [self.a.as_ptr(); M];
                for (i, p) in rows.iter_mut().enumerate() {
                    *p = p.wrapping_add((row + i).min(m - 1) * pitch);
                }
                let mut streams = [self.b.as_ptr(); N];
                for (i, p) in streams.iter_mut().enumerate() {
                    *p = p.wrapping_add(offsets[(column + i).min(self.columns.1 - 1)]);
                }
                // SAFETY: `run` checked that rows and streams hold `len` elements; the results of
                // this task's columns are not accessed by other tasks.
                unsafe {
                    let sums = dot_tile::<V, M, N>(rows, streams, *len);
                    for (i, sums) in sums.iter().enumerate().take(m - row) {
                        let c = self.c.as_mut_ptr().add(self.start + (row + i) * offsets.len() + column);
                        for (k, sum) in sums.iter().enumerate().take(self.columns.1 - column) {
                            *c.add(k) += sum.sum();
                        }
                    }
                }
            }
        }
    }
}

/// # Safety
/// All pointers must be readable for `len` elements.
#[inline(always)]
unsafe fn dot_tile<V: Vector, const M: usize, const N: usize>(
    rows: [*const f32; M],
    streams: [*const f32; N],
    len: usize,
) -> [[V; N]; M] {
    let step = BLOCK * V::LANES;
    // SAFETY: blocks end at `len`.
    unsafe {
        let mut sums = dot_block::<V, M, N>(rows, streams, len.min(step));
        for start in (step..len).step_by(step) {
            let (rows, streams) = (rows.map(|p| p.add(start)), streams.map(|p| p.add(start)));
            let own = dot_block::<V, M, N>(rows, streams, (len - start).min(step));
            for (sums, own) in sums.iter_mut().zip(&own) {
                for (sum, &own) in sums.iter_mut().zip(own) {
                    *sum = sum.add(own);
                }
            }
        }
        sums
    }
}

/// # Safety
/// All pointers must be readable for `len` elements.
#[inline(always)]
unsafe fn dot_block<V: Vector, const M: usize, const N: usize>(
    rows: [*const f32; M],
    streams: [*const f32; N],
    len: usize,
) -> [[V; N]; M] {
    // SAFETY: j runs over whole vectors below `len`; the last, partial one does not read beyond it.
    unsafe {
        let mut sums = [[V::splat(0.0); N]; M];
        let mut j = 0;
        while j + V::LANES <= len {
            let mut left = [V::splat(0.0); M];
            for (left, row) in left.iter_mut().zip(&rows) {
                *left = V::load(row.add(j));
            }
            for (n, stream) in streams.iter().enumerate() {
                let right = V::load(stream.add(j));
                for (sums, &left) in sums.iter_mut().zip(&left) {
                    sums[n] = sums[n].mul_add(left, right);
                }
            }
            j += V::LANES;
        }
        if j < len {
            for (n, stream) in streams.iter().enumerate() {
                let right = V::load_lanes(stream.add(j), 0, len - j);
                for (sums, row) in sums.iter_mut().zip(&rows) {
                    sums[n] = sums[n].mul_add(V::load_lanes(row.add(j), 0, len - j), right);
                }
            }
        }
        sums
    }
}
