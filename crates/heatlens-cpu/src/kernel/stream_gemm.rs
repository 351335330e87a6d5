//! A small matrix times shifted streams: `c[m][j] = Σₖ a[m][k] · b[offsets[k] + j]`.
//!
//! With offsets that are shifts of an image this is a convolution without any copy of patches; with
//! offsets that are the rows of a matrix it is a matrix product. A convolution's stream runs over
//! the rows of an image *with* the columns in which the window hangs over the edge: these few
//! results are dropped when a tile is stored ([`StreamLayout`]).
//!
//! A tile of results stays in registers while k runs. Its sums run over k in order, in blocks of
//! [`BLOCK`], starting from the bias, wherever the tile lies: cutting the work differently changes
//! no bit. The blocks keep rounding small: an addition rounds by the size of the sum so far, which
//! grows with k.

use super::simd::{Isa, Job, Vector};
use super::workers::{SharedSlice, Workers};

/// Floating-point operations in a task: some microseconds of work.
const TASK_FLOPS: usize = 1 << 20;
/// Products that are summed before they join the others. Fewer would round less yet (best is near √k) and move more data.
const BLOCK: usize = 128;
/// Packed rows of at most this many elements stay in the cache while the streams pass by.
const RESIDENT_ROWS: usize = 1 << 16;

/// Which elements of a stream are results: columns below `width` of `height` rows, `pitch` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamLayout {
    height: usize,
    width: usize,
    pitch: usize,
}

impl StreamLayout {
    pub(crate) fn new(height: usize, width: usize, pitch: usize) -> Self {
        // Rows without a gap are one long row.
        if width == pitch {
            Self { height: 1, width: height * width, pitch: height * width }
        } else {
            Self { height, width, pitch }
        }
    }

    /// Length of the stream, from the first result to the last.
    pub(crate) fn len(self) -> usize {
        if self.area() == 0 { 0 } else { (self.height - 1) * self.pitch + self.width }
    }

    /// Number of results.
    pub(crate) fn area(self) -> usize {
        self.height * self.width
    }
}

/// What happens to a finished sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epilogue<'a> {
    /// Added to every result of a row, one for each row of all groups.
    pub(crate) bias: Option<&'a [f32]>,
    /// Whether negative results become zero.
    pub(crate) relu: bool,
    /// Whether the result is added to what is there instead of replacing it.
    pub(crate) accumulate: bool,
}

/// The shape of a product, prepared for an instruction set.
#[derive(Clone, Debug)]
pub(crate) struct StreamGemm {
    isa: Isa,
    m: usize,
    /// Rows in a tile; the last tile's missing rows are zeros.
    tile_rows: usize,
    offsets: Vec<usize>,
    layout: StreamLayout,
    /// Stream elements that must be readable behind an offset.
    reach: usize,
}

impl StreamGemm {
    pub(crate) fn new(isa: Isa, m: usize, offsets: Vec<usize>, layout: StreamLayout) -> Self {
        let most = if isa == Isa::Avx512 { 12 } else { 6 };
        let tiles = m.max(1).div_ceil(most);
        let tile_rows = m.max(1).div_ceil(tiles);
        let reach =
            offsets.iter().max().map_or(0, |last| last + layout.len().max(tile_columns(isa, tile_rows)));
        Self { isa, m, tile_rows, offsets, layout, reach }
    }

    /// Elements of `b` that a group reads. A stream shorter than a tile is read beyond its end.
    pub(crate) fn reach(&self) -> usize {
        self.reach
    }

    /// Whether all reads stay within the streams themselves.
    pub(crate) fn stays_inside(&self) -> bool {
        self.layout.len() >= tile_columns(self.isa, self.tile_rows)
    }

    fn row_tiles(&self) -> usize {
        self.m.div_ceil(self.tile_rows)
    }

    fn depth(&self) -> usize {
        self.offsets.len()
    }

    /// Elements of one group's packed rows.
    pub(crate) fn packed_len(&self) -> usize {
        self.row_tiles() * self.tile_rows * self.depth()
    }

    /// Packs the rows of a group as the tiles read them: tile by tile, k by k. `a(m, k)` gives an element.
    pub(crate) fn pack(&self, packed: &mut [f32], a: impl Fn(usize, usize) -> f32) {
        assert_eq!(packed.len(), self.packed_len(), "packed rows of another shape");
        if packed.is_empty() {
            return;
        }
        for (tile, packed) in packed.chunks_mut(self.tile_rows * self.depth()).enumerate() {
            for (k, column) in packed.chunks_mut(self.tile_rows).enumerate() {
                for (i, value) in column.iter_mut().enumerate() {
                    let m = tile * self.tile_rows + i;
                    *value = if m < self.m { a(m, k) } else { 0.0 };
                }
            }
        }
    }

    /// Computes `groups` products: group g reads its own packed rows and the streams from
    /// `b[g · group_stride]`, and writes rows `g · m …` of `c`, each [`StreamLayout::area`] long.
    pub(crate) fn run(
        &self,
        groups: usize,
        packed: &[f32],
        (b, group_stride): (&[f32], usize),
        c: &mut [f32],
        epilogue: Epilogue<'_>,
        workers: Workers,
    ) {
        assert_eq!(packed.len(), groups * self.packed_len(), "packed rows of another shape");
        assert_eq!(c.len(), groups * self.m * self.layout.area(), "a result of another size");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == groups * self.m), "a bias of another size");
        if c.is_empty() {
            return;
        }
        assert!(b.len() >= (groups - 1) * group_stride + self.reach, "streams end too early");
        let columns = tile_columns(self.isa, self.tile_rows);
        let column_tiles = self.layout.len().div_ceil(columns);
        // Large weights: each task keeps one tile of rows in the cache. Small: it keeps them all.
        let row_step = if self.packed_len() > RESIDENT_ROWS { 1 } else { self.row_tiles() };
        let flops = 2 * self.depth().max(1) * self.tile_rows * row_step * columns;
        let column_step = TASK_FLOPS.div_ceil(flops).min(column_tiles);
        let (row_tasks, column_tasks) =
            (self.row_tiles().div_ceil(row_step), column_tiles.div_ceil(column_step));
        let c = SharedSlice::new(c);
        workers.for_each(groups * row_tasks * column_tasks, |task| {
            let (group, rest) = (task / (row_tasks * column_tasks), task % (row_tasks * column_tasks));
            let (row, column) = (rest / column_tasks * row_step, rest % column_tasks * column_step);
            self.isa.run(Tiles {
                gemm: self,
                packed: &packed[group * self.packed_len()..(group + 1) * self.packed_len()],
                b: &b[group * group_stride..group * group_stride + self.reach],
                c,
                first_row: group * self.m,
                rows: (row, (row + row_step).min(self.row_tiles())),
                columns: (column, (column + column_step).min(column_tiles)),
                epilogue,
            });
        });
    }
}

/// Vectors side by side in a tile: more for few rows, so that enough sums are in flight.
const fn tile_vectors(registers: usize, tile_rows: usize) -> usize {
    if tile_rows <= 2 || (registers == 32 && tile_rows <= 4) { 4 } else { 2 }
}

fn tile_columns(isa: Isa, tile_rows: usize) -> usize {
    let registers = if isa == Isa::Avx512 { 32 } else { 16 };
    tile_vectors(registers, tile_rows) * isa.lanes()
}

/// A task: a block of tiles of one group.
struct Tiles<'a> {
    gemm: &'a StreamGemm,
    packed: &'a [f32],
    b: &'a [f32],
    c: SharedSlice<'a>,
    /// The group's first row of `c`.
    first_row: usize,
    rows: (usize, usize),
    columns: (usize, usize),
    epilogue: Epilogue<'a>,
}

impl Job for Tiles<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the caller vouches for the instruction set; `tile_rows` is what the tiles are packed for.
        unsafe {
            match (self.gemm.tile_rows, V::REGISTERS) {
                (1, _) => self.tiles::<V, 1, 4>(),
                (2, _) => self.tiles::<V, 2, 4>(),
                (3, 32) => self.tiles::<V, 3, 4>(),
                (4, 32) => self.tiles::<V, 4, 4>(),
                (3, _) => self.tiles::<V, 3, 2>(),
                (4, _) => self.tiles::<V, 4, 2>(),
                (5, _) => self.tiles::<V, 5, 2>(),
                (6, _) => self.tiles::<V, 6, 2>(),
                (7, 32) => self.tiles::<V, 7, 2>(),
                (8, 32) => self.tiles::<V, 8, 2>(),
                (9, 32) => self.tiles::<V, 9, 2>(),
                (10, 32) => self.tiles::<V, 10, 2>(),
                (11, 32) => self.tiles::<V, 11, 2>(),
                (12, 32) => self.tiles::<V, 12, 2>(),
                (rows, _) => unreachable!("no tile has {rows} rows"),
            }
        }
    }
}

impl Tiles<'_> {
    #[inline(always)]
    unsafe fn tiles<V: Vector, const M: usize, const N: usize>(&self) {
        let gemm = self.gemm;
        let (len, columns) = (gemm.layout.len(), N * V::LANES);
        debug_assert_eq!(columns, tile_columns(gemm.isa, M));
        for column in self.columns.0..self.columns.1 {
            let first = column * columns;
            // The last tile slides back to end with the stream, and stores only what is its own.
            let start = first.min(len.saturating_sub(columns));
            for row in self.rows.0..self.rows.1 {
                // SAFETY: `run` checked the lengths: packed rows hold `depth · M` elements per
                // tile, and `b` holds `reach` ≥ largest offset + start + columns.
                unsafe {
                    let a = self.packed.as_ptr().add(row * M * gemm.depth());
                    let mut sums = self.initial::<V, M, N>(row * M);
                    multiply::<V, M, N>(&mut sums, a, &gemm.offsets, self.b.as_ptr().add(start));
                    self.store::<V, M, N>(&sums, row * M, first, start);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn initial<V: Vector, const M: usize, const N: usize>(&self, row: usize) -> [[V; N]; M] {
        let bias = |m: usize| self.epilogue.bias.and_then(|bias| bias.get(self.first_row + row + m));
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let mut sums = [[V::splat(0.0); N]; M];
            for (m, sums) in sums.iter_mut().enumerate() {
                *sums = [V::splat(bias(m).copied().unwrap_or(0.0)); N];
            }
            sums
        }
    }

    /// Stores what lies in columns of the layout, from stream element `first` on.
    #[inline(always)]
    unsafe fn store<V: Vector, const M: usize, const N: usize>(
        &self,
        sums: &[[V; N]; M],
        row: usize,
        first: usize,
        start: usize,
    ) {
        let StreamLayout { height, width, pitch } = self.gemm.layout;
        let area = height * width;
        let rows = (self.gemm.m - row).min(M);
        let c = self.c.as_mut_ptr().wrapping_add((self.first_row + row) * area);
        let mut y = start / pitch;
        for v in 0..N {
            let at = start + v * V::LANES;
            let skipped = first.saturating_sub(at);
            loop {
                // Row y of the image is elements `y · pitch ..` of the stream: which lanes hold them?
                let from = (y * pitch).saturating_sub(at).max(skipped);
                let to = (y * pitch + width).saturating_sub(at).min(V::LANES);
                if y < height && from < to {
                    let place = c.wrapping_add(y * width + at).wrapping_sub(y * pitch);
                    for (m, sums) in sums.iter().enumerate() {
                        if m < rows {
                            // SAFETY: lanes `from..to` are results of row m, which lie in `c`.
                            unsafe { self.finish(sums[v], place.wrapping_add(m * area), from, to) };
                        }
                    }
                }
                if y >= height || (y + 1) * pitch >= at + V::LANES {
                    break;
                }
                y += 1;
            }
            if (y + 1) * pitch <= at + V::LANES {
                y += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<V: Vector>(&self, sum: V, place: *mut f32, from: usize, to: usize) {
        // SAFETY: the caller vouches for lanes `from..to` at `place`; no other task has them.
        unsafe {
            let mut sum = sum;
            if self.epilogue.accumulate {
                sum = sum.add(V::load_lanes(place, from, to));
            }
            if self.epilogue.relu {
                sum = sum.relu();
            }
            if to - from == V::LANES { sum.store(place) } else { sum.store_lanes(place, from, to) }
        }
    }
}

/// `sums[m][j] += Σₖ a[k][m] · b[offsets[k] + j]`, block by block.
///
/// # Safety
/// As of [`multiply_block`].
#[inline(always)]
unsafe fn multiply<V: Vector, const M: usize, const N: usize>(
    sums: &mut [[V; N]; M],
    a: *const f32,
    offsets: &[usize],
    b: *const f32,
) {
    let (first, rest) = offsets.split_at(offsets.len().min(BLOCK));
    // SAFETY: the caller's contract, which each block's share of `a` keeps.
    unsafe {
        multiply_block::<V, M, N>(sums, a, first, b);
        for (block, offsets) in rest.chunks(BLOCK).enumerate() {
            let mut own = [[V::splat(0.0); N]; M];
            multiply_block::<V, M, N>(&mut own, a.add((block + 1) * BLOCK * M), offsets, b);
            for (sums, own) in sums.iter_mut().zip(&own) {
                for (sum, &own) in sums.iter_mut().zip(own) {
                    *sum = sum.add(own);
                }
            }
        }
    }
}

/// The inner loop: `sums[m][j] += Σₖ a[k][m] · b[offsets[k] + j]`.
///
/// # Safety
/// `a` holds M elements for each offset; `b` is readable from each offset for N vectors.
#[inline(always)]
unsafe fn multiply_block<V: Vector, const M: usize, const N: usize>(
    sums: &mut [[V; N]; M],
    mut a: *const f32,
    offsets: &[usize],
    b: *const f32,
) {
    // A copy by value, so that the sums live in registers.
    let mut own = *sums;
    for &offset in offsets {
        // SAFETY: the caller's contract.
        unsafe {
            let mut stream = [V::splat(0.0); N];
            for (v, stream) in stream.iter_mut().enumerate() {
                *stream = V::load(b.add(offset + v * V::LANES));
            }
            for (m, own) in own.iter_mut().enumerate() {
                let factor = V::splat(*a.add(m));
                for (sum, &stream) in own.iter_mut().zip(&stream) {
                    *sum = sum.mul_add(factor, stream);
                }
            }
            a = a.add(M);
        }
    }
    *sums = own;
}
