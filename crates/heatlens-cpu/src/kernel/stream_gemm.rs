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

use std::cell::Cell;

use super::simd::{Isa, Job, Vector};
use super::workers::{SharedSlice, Workers};

/// Floating-point operations in a task: some microseconds of work.
const TASK_FLOPS: usize = 1 << 20;
/// Products that are summed before they join the others. Fewer would round less yet (best is near √k) and move more data.
const BLOCK: usize = 128;
/// Packed rows of at most this many elements stay in the cache while the streams pass by.
const RESIDENT_ROWS: usize = 1 << 16;
/// Tiles of rows that pay for copying the streams of a column of tiles together.
const GATHERING_ROWS: usize = 3;

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

/// Where the streams are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Streams<'a> {
    /// Those of group g from `b[g · group_stride]`, behind the offsets.
    Spread { b: &'a [f32], group_stride: usize },
    /// Copied together by [`StreamGemm::pack_panels`], group after group.
    Panels(&'a [f32]),
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
    /// Where the streams of a column of tiles start once they are copied together; empty if they never are.
    gathered: Vec<usize>,
    layout: StreamLayout,
    /// Stream elements that must be readable behind an offset.
    reach: usize,
}

impl StreamGemm {
    pub(crate) fn new(isa: Isa, m: usize, offsets: Vec<usize>, layout: StreamLayout) -> Self {
        let tile_rows = tile_rows(isa, m);
        let reach =
            offsets.iter().max().map_or(0, |last| last + layout.len().max(tile_columns(isa, tile_rows)));
        let gathered = Vec::new();
        Self { isa, m, tile_rows, offsets, gathered, layout, reach }
    }

    /// Allows what a column of tiles reads to be copied together, for streams that share no element: rows of a matrix,
    /// planes of a 1×1 convolution. Rows far apart fall on the same few places of a cache, and on a page each.
    pub(crate) fn gathering(mut self) -> Self {
        let columns = tile_columns(self.isa, self.tile_rows);
        self.gathered = (0..self.depth()).map(|k| k * columns).collect();
        self
    }

    /// Elements of all streams once they are copied together ahead of the run.
    pub(crate) fn panels_len(&self) -> usize {
        let columns = tile_columns(self.isa, self.tile_rows);
        self.layout.len().div_ceil(columns) * columns * self.depth()
    }

    /// Copies the streams together, a panel for each column of tiles; `b(k, j)` gives element j of stream k.
    pub(crate) fn pack_panels(&self, panels: &mut [f32], b: impl Fn(usize, usize) -> f32) {
        assert_eq!(panels.len(), self.panels_len(), "panels of another size");
        let columns = tile_columns(self.isa, self.tile_rows);
        for (panel, values) in panels.chunks_mut((columns * self.depth()).max(1)).enumerate() {
            for (k, row) in values.chunks_mut(columns).enumerate() {
                for (j, value) in row.iter_mut().enumerate() {
                    let j = panel * columns + j;
                    *value = if j < self.layout.len() { b(k, j) } else { 0.0 };
                }
            }
        }
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

    pub(super) fn depth(&self) -> usize {
        self.offsets.len()
    }

    /// Elements of one group's packed rows.
    pub(crate) fn packed_len(&self) -> usize {
        self.row_tiles() * self.tile_rows * self.depth()
    }

    /// Packs the rows of a group as the tiles read them: tile by tile, k by k. `a(m, k)` gives an element.
    pub(crate) fn pack(&self, packed: &mut [f32], a: impl Fn(usize, usize) -> f32 + Sync, workers: Workers) {
        self.pack_tiles(packed, workers, |first, packed| {
            for (k, column) in packed.chunks_mut(self.tile_rows).enumerate() {
                for (m, value) in (first..).zip(column) {
                    *value = if m < self.m { a(m, k) } else { 0.0 };
                }
            }
        });
    }

    /// As [`pack`](Self::pack), for rows that are stored one after the other.
    pub(crate) fn pack_rows(&self, packed: &mut [f32], rows: &[f32], workers: Workers) {
        /// Elements of a row that are moved at a time: a cache line.
        const PIECE: usize = 16;
        let depth = self.depth();
        assert_eq!(rows.len(), self.m * depth, "rows of another shape");
        self.pack_tiles(packed, workers, |first, packed| {
            for (piece, packed) in packed.chunks_mut(PIECE * self.tile_rows).enumerate() {
                for i in 0..self.tile_rows {
                    let column = packed[i..].iter_mut().step_by(self.tile_rows);
                    if first + i < self.m {
                        let row = &rows[(first + i) * depth + piece * PIECE..];
                        column.zip(row).for_each(|(to, &value)| *to = value);
                    } else {
                        column.for_each(|to| *to = 0.0);
                    }
                }
            }
        });
    }

    /// Calls `pack(first row, packed tile)` for every tile of rows.
    fn pack_tiles(&self, packed: &mut [f32], workers: Workers, pack: impl Fn(usize, &mut [f32]) + Sync) {
        assert_eq!(packed.len(), self.packed_len(), "packed rows of another shape");
        let task = |tile: usize, packed: &mut [f32]| pack(tile * self.tile_rows, packed);
        workers.for_each_chunk(packed, self.tile_rows * self.depth(), task);
    }

    /// Computes `groups` products: group g reads its own packed rows and streams, and writes rows `g · m …` of `c`,
    /// each [`StreamLayout::area`] long.
    pub(crate) fn run(
        &self,
        groups: usize,
        packed: &[f32],
        streams: Streams<'_>,
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
        let (b, group_stride, reach) = match streams {
            Streams::Spread { b, group_stride } => (b, group_stride, self.reach),
            Streams::Panels(panels) => {
                assert!(!self.gathered.is_empty() || self.depth() == 0, "streams that share elements");
                (panels, self.panels_len(), self.panels_len())
            }
        };
        assert!(b.len() >= (groups - 1) * group_stride + reach, "streams end too early");
        let columns = tile_columns(self.isa, self.tile_rows);
        let column_tiles = self.layout.len().div_ceil(columns);
        // Each task keeps its rows in the cache: all of them, or as many as there is room for.
        let row_step = (RESIDENT_ROWS / (self.tile_rows * self.depth().max(1))).clamp(1, self.row_tiles());
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
                b: &b[group * group_stride..group * group_stride + reach],
                in_panels: matches!(streams, Streams::Panels(_)),
                c,
                first_row: group * self.m,
                rows: (row, (row + row_step).min(self.row_tiles())),
                columns: (column, (column + column_step).min(column_tiles)),
                epilogue,
            });
        });
    }
}

/// Calls a method that is generic over a vector, the rows and the vectors of a tile, for a tile of so many rows.
macro_rules! with_tile {
    ($rows:expr, $v:ty, $this:ident.$method:ident()) => {
        match ($rows, <$v>::REGISTERS) {
            (1, _) => $this.$method::<$v, 1, 4>(),
            (2, _) => $this.$method::<$v, 2, 4>(),
            (3, 32) => $this.$method::<$v, 3, 4>(),
            (4, 32) => $this.$method::<$v, 4, 4>(),
            (3, _) => $this.$method::<$v, 3, 2>(),
            (4, _) => $this.$method::<$v, 4, 2>(),
            (5, _) => $this.$method::<$v, 5, 2>(),
            (6, _) => $this.$method::<$v, 6, 2>(),
            (7, 32) => $this.$method::<$v, 7, 2>(),
            (8, 32) => $this.$method::<$v, 8, 2>(),
            (9, 32) => $this.$method::<$v, 9, 2>(),
            (10, 32) => $this.$method::<$v, 10, 2>(),
            (11, 32) => $this.$method::<$v, 11, 2>(),
            (12, 32) => $this.$method::<$v, 12, 2>(),
            (rows, _) => unreachable!("no tile has {rows} rows"),
        }
    };
}
pub(super) use with_tile;

/// Rows in a tile, for products of `m` rows: as many as the registers hold sums for, evenly shared.
pub(super) fn tile_rows(isa: Isa, m: usize) -> usize {
    let most = if isa == Isa::Avx512 { 12 } else { 6 };
    let tiles = m.max(1).div_ceil(most);
    m.max(1).div_ceil(tiles)
}

/// Vectors side by side in a tile: more for few rows, so that enough sums are in flight.
const fn tile_vectors(registers: usize, tile_rows: usize) -> usize {
    if tile_rows <= 2 || (registers == 32 && tile_rows <= 4) { 4 } else { 2 }
}

/// Columns of a tile of so many rows.
pub(super) fn tile_columns(isa: Isa, tile_rows: usize) -> usize {
    let registers = if isa == Isa::Avx512 { 32 } else { 16 };
    tile_vectors(registers, tile_rows) * isa.lanes()
}

thread_local! {
    /// The streams of a column of tiles, copied together: kept, because fresh memory costs more than the copy.
    static STRIP: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// A task: a block of tiles of one group.
struct Tiles<'a> {
    gemm: &'a StreamGemm,
    packed: &'a [f32],
    b: &'a [f32],
    in_panels: bool,
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
            with_tile!(self.gemm.tile_rows, V, self.tiles());
        }
    }
}

impl Tiles<'_> {
    #[inline(always)]
    unsafe fn tiles<V: Vector, const M: usize, const N: usize>(&self) {
        let gemm = self.gemm;
        let (len, columns) = (gemm.layout.len(), N * V::LANES);
        debug_assert_eq!(columns, tile_columns(gemm.isa, M));
        let many = self.rows.1 - self.rows.0 >= GATHERING_ROWS;
        let gathers = many && !self.in_panels && !gemm.gathered.is_empty();
        let mut strip = if gathers { STRIP.take() } else { Vec::new() };
        for column in self.columns.0..self.columns.1 {
            let first = column * columns;
            // The last tile slides back to end with the stream, and stores only what is its own. A panel is padded.
            let start = if self.in_panels { first } else { first.min(len.saturating_sub(columns)) };
            let (streams, offsets) = if gathers {
                strip.clear();
                for offset in &gemm.offsets {
                    strip.extend_from_slice(&self.b[offset + start..offset + start + columns]);
                }
                (strip.as_ptr(), &gemm.gathered)
            } else if self.in_panels {
                (self.b.as_ptr().wrapping_add(first * gemm.depth()), &gemm.gathered)
            } else {
                (self.b.as_ptr().wrapping_add(start), &gemm.offsets)
            };
            for row in self.rows.0..self.rows.1 {
                // SAFETY: `run` checked the lengths: packed rows hold `depth · M` elements per
                // tile, and `b` holds `reach` ≥ largest offset + start + columns; a strip and a panel
                // hold `columns` elements for each offset.
                unsafe {
                    let a = self.packed.as_ptr().add(row * M * gemm.depth());
                    let mut sums = self.initial::<V, M, N>(row * M);
                    multiply::<V, M, N>(&mut sums, a, offsets, streams);
                    self.store::<V, M, N>(&sums, row * M, first, start);
                }
            }
        }
        if gathers {
            STRIP.set(strip);
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
pub(super) unsafe fn multiply<V: Vector, const M: usize, const N: usize>(
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
