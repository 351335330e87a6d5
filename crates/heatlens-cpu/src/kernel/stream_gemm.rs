//! A small matrix times shifted streams: `c[m][j] = Σₖ a[m][k] · b[offsets[k] + j]`.
//!
//! With offsets that are shifts of an image, this is a convolution without copying patches; with offsets that are the
//! rows of a matrix, it is a matrix product. A convolution's stream runs over the rows of an image *including* the
//! columns in which the window extends beyond the edge: these few results are discarded when a tile is stored
//! ([`StreamLayout`]).
//!
//! A tile of results stays in registers while k runs. Its sums run over k in order, in blocks of [`BLOCK`], starting
//! with the bias, wherever the tile lies: dividing the work differently changes no bit. The blocks keep rounding errors
//! small: the error of an addition is proportional to the sum so far, which grows with k.
//!
//! A long k is divided into parts whose rows stay in the cache: all tiles of a task take part one before part two, and
//! their totals wait in between. This changes no bit either, because parts consist of whole blocks.

use std::cell::Cell;

use super::simd::{Isa, Job, Vector};
use super::workers::{SharedSlice, Workers};

/// Floating-point operations per task: some microseconds of work.
const TASK_FLOPS: usize = 1 << 20;
/// Number of products summed separately before they are added to the total. Fewer would round even less (best is about
/// √k) but move more data.
const BLOCK: usize = 128;
/// Maximum number of elements of packed rows that stay in the cache while the streams are processed.
const RESIDENT_ROWS: usize = 1 << 16;
/// The same if k is divided into parts.
const RESIDENT_PART: usize = 1 << 15;
/// Minimum number of terms for which dividing them into parts pays: fewer than about 20 rows of more terms stay in the
/// cache, and the streams would be read again for each such group of rows.
const LONG: usize = 2049;
/// Columns of tiles per task if k is divided into parts, for which packed rows are read again.
const PART_COLUMNS: usize = 4;
/// Maximum number of elements of a part of the streams of a column of tiles: half of the L1 cache.
const PART_LEN: usize = 1 << 12;
/// Maximum number of rows of a tile that are read without packing.
const MOST_PLAIN: usize = 6;
/// Minimum number of row tiles for which gathering the streams of a column of tiles pays off.
const GATHERING_ROWS: usize = 3;

/// Elements of a stream that are results: columns below `width` of `height` rows, which are `pitch` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamLayout {
    height: usize,
    width: usize,
    pitch: usize,
}

impl StreamLayout {
    pub(crate) fn new(height: usize, width: usize, pitch: usize) -> Self {
        // Rows without gaps are one long row.
        if width == pitch {
            Self { height: 1, width: height * width, pitch: height * width }
        } else {
            Self { height, width, pitch }
        }
    }

    /// Returns the length of the stream, from the first result to the last.
    pub(crate) fn len(self) -> usize {
        if self.area() == 0 { 0 } else { (self.height - 1) * self.pitch + self.width }
    }

    /// Returns the number of results.
    pub(crate) fn area(self) -> usize {
        self.height * self.width
    }
}

/// Location of the streams.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Streams<'a> {
    /// Streams of group g start at `b[g · group_stride]`, plus their offsets.
    Spread { b: &'a [f32], group_stride: usize },
    /// Packed by [`StreamGemm::pack_panels`], group after group.
    Panels(&'a [f32]),
}

/// The small matrix of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rows<'a> {
    /// Packed by [`StreamGemm::pack`] or [`StreamGemm::pack_rows`], group after group.
    Packed(&'a [f32]),
    /// One row after the other, of a single group; see [`StreamGemm::reads_rows`].
    Plain(&'a [f32]),
}

/// Operations applied to a finished sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epilogue<'a> {
    /// Added to every result of a row, one value per row of all groups.
    pub(crate) bias: Option<&'a [f32]>,
    /// True to replace negative results with zero.
    pub(crate) relu: bool,
    /// True to add the result to the existing value instead of replacing it.
    pub(crate) accumulate: bool,
}

/// Shape of a product, prepared for an instruction set.
#[derive(Clone, Debug)]
pub(crate) struct StreamGemm {
    isa: Isa,
    m: usize,
    /// Rows per tile; missing rows of the last tile are zeros.
    tile_rows: usize,
    offsets: Vec<usize>,
    /// Starts of the streams of a column of tiles after gathering; empty if they are never gathered.
    gathered: Vec<usize>,
    layout: StreamLayout,
    /// Number of stream elements that must be readable after an offset.
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

    /// Allows gathering the streams that a column of tiles reads, for streams that do not share elements: rows of a
    /// matrix, planes of a 1×1 convolution. Distant rows map to the same few cache sets and to a separate page each.
    pub(crate) fn gathering(mut self) -> Self {
        let columns = tile_columns(self.isa, self.tile_rows);
        self.gathered = (0..self.depth()).map(|k| k * columns).collect();
        self
    }

    /// Returns the number of elements of all streams when packed in advance.
    pub(crate) fn panels_len(&self) -> usize {
        let columns = tile_columns(self.isa, self.tile_rows);
        self.layout.len().div_ceil(columns) * columns * self.depth()
    }

    /// Packs the streams, one panel per column of tiles; `b(k, j)` returns element j of stream k.
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

    /// Returns the number of elements of `b` that a group reads. A stream shorter than a tile is read beyond its end.
    pub(crate) fn reach(&self) -> usize {
        self.reach
    }

    /// True if all reads stay within the streams.
    pub(crate) fn stays_inside(&self) -> bool {
        self.layout.len() >= tile_columns(self.isa, self.tile_rows)
    }

    fn row_tiles(&self) -> usize {
        self.m.div_ceil(self.tile_rows)
    }

    pub(super) fn depth(&self) -> usize {
        self.offsets.len()
    }

    /// Returns the number of terms k that are processed before the next tile.
    fn part_depth(&self) -> usize {
        let most = PART_LEN / tile_columns(self.isa, self.tile_rows) / BLOCK * BLOCK;
        if self.depth() < LONG { self.depth() } else { most.max(BLOCK) }
    }

    /// Returns the numbers of rows and of columns of tiles per task.
    fn task_tiles(&self, column_tiles: usize) -> (usize, usize) {
        let (part, columns) = (self.part_depth(), tile_columns(self.isa, self.tile_rows));
        let is_whole = part == self.depth();
        let resident = if is_whole { RESIDENT_ROWS } else { RESIDENT_PART };
        let most = (resident / (self.tile_rows * part.max(1))).clamp(1, self.row_tiles());
        let rows = if is_whole { most } else { self.row_tiles().div_ceil(self.row_tiles().div_ceil(most)) };
        let flops = 2 * self.depth().max(1) * self.tile_rows * rows * columns;
        let least = if is_whole { 1 } else { PART_COLUMNS };
        (rows, TASK_FLOPS.div_ceil(flops).max(least).min(column_tiles))
    }

    /// True if rows need not be packed: as many addresses as a tile has rows fit into the processor's registers.
    pub(crate) fn reads_rows(&self) -> bool {
        self.tile_rows <= MOST_PLAIN
    }

    /// Returns the number of elements of one group's packed rows.
    pub(crate) fn packed_len(&self) -> usize {
        self.row_tiles() * self.tile_rows * self.depth()
    }

    /// Packs the rows of a group in the order the tiles read them: tile by tile, k by k. `a(m, k)` returns an element.
    pub(crate) fn pack(&self, packed: &mut [f32], a: impl Fn(usize, usize) -> f32 + Sync, workers: Workers) {
        self.pack_tiles(packed, workers, |first, packed| {
            for (k, column) in packed.chunks_mut(self.tile_rows).enumerate() {
                for (m, value) in (first..).zip(column) {
                    *value = if m < self.m { a(m, k) } else { 0.0 };
                }
            }
        });
    }

    /// Same as [`pack`](Self::pack), for rows stored one after the other.
    pub(crate) fn pack_rows(&self, packed: &mut [f32], rows: &[f32], workers: Workers) {
        /// Elements of a row copied at a time: a cache line.
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
        rows: Rows<'_>,
        streams: Streams<'_>,
        c: &mut [f32],
        epilogue: Epilogue<'_>,
        workers: Workers,
    ) {
        match rows {
            Rows::Packed(packed) => {
                assert_eq!(packed.len(), groups * self.packed_len(), "packed rows of another shape");
            }
            Rows::Plain(rows) => {
                assert!(groups == 1 && self.reads_rows(), "rows that must be packed");
                assert_eq!(rows.len(), self.m * self.depth(), "rows of another shape");
            }
        }
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
        // Each task keeps its rows in the cache: all of them, or as many as fit.
        let (row_step, column_step) = self.task_tiles(column_tiles);
        let (row_tasks, column_tasks) =
            (self.row_tiles().div_ceil(row_step), column_tiles.div_ceil(column_step));
        let c = SharedSlice::new(c);
        workers.for_each(groups * row_tasks * column_tasks, |task| {
            let (group, rest) = (task / (row_tasks * column_tasks), task % (row_tasks * column_tasks));
            let (row, column) = (rest / column_tasks * row_step, rest % column_tasks * column_step);
            self.isa.run(Tiles {
                gemm: self,
                a: match rows {
                    Rows::Packed(packed) => {
                        Rows::Packed(&packed[group * self.packed_len()..(group + 1) * self.packed_len()])
                    }
                    Rows::Plain(rows) => Rows::Plain(rows),
                },
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

/// Calls a method that is generic over the vector type and the numbers of rows and vectors of a tile, for the given
/// number of rows.
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

/// Returns the rows per tile for products of `m` rows: as many as the registers hold sums for, evenly divided.
pub(super) fn tile_rows(isa: Isa, m: usize) -> usize {
    let most = if isa == Isa::Avx512 { 12 } else { 6 };
    let tiles = m.max(1).div_ceil(most);
    m.max(1).div_ceil(tiles)
}

/// Returns the number of vectors per row of a tile: more for few rows, to keep enough sums in flight.
const fn tile_vectors(registers: usize, tile_rows: usize) -> usize {
    if tile_rows <= 2 || (registers == 32 && tile_rows <= 4) { 4 } else { 2 }
}

/// Returns the columns of a tile with the given number of rows.
pub(super) fn tile_columns(isa: Isa, tile_rows: usize) -> usize {
    let registers = if isa == Isa::Avx512 { 32 } else { 16 };
    tile_vectors(registers, tile_rows) * isa.lanes()
}

thread_local! {
    /// Gathered streams of a column of tiles; reused, because allocating memory costs more than the copy.
    static STRIP: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    /// Totals of a task's tiles between two parts of k.
    static TOTALS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// A task: a block of tiles of one group.
struct Tiles<'a> {
    gemm: &'a StreamGemm,
    a: Rows<'a>,
    b: &'a [f32],
    in_panels: bool,
    c: SharedSlice<'a>,
    /// First row of `c` that belongs to the group.
    first_row: usize,
    rows: (usize, usize),
    columns: (usize, usize),
    epilogue: Epilogue<'a>,
}

impl Job for Tiles<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the caller guarantees the instruction set; tiles are packed for `tile_rows` rows.
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
        let part_depth = gemm.part_depth();
        let is_whole = part_depth == gemm.depth();
        let mut totals = if is_whole { Vec::new() } else { TOTALS.take() };
        if !is_whole {
            let tiles = (self.rows.1 - self.rows.0) * (self.columns.1 - self.columns.0);
            totals.resize(totals.len().max(tiles * M * columns), 0.0);
        }
        // At least one part, so that results without terms are stored, too.
        for k in (0..gemm.depth().max(1)).step_by(part_depth.max(1)) {
            let part = k..(k + part_depth).min(gemm.depth());
            let is_last = part.end == gemm.depth();
            let mut tile = 0;
            for column in self.columns.0..self.columns.1 {
                let first = column * columns;
                // The last tile is shifted back to end with the stream, and stores only its own part. Panels are padded.
                let start = if self.in_panels { first } else { first.min(len.saturating_sub(columns)) };
                let (streams, offsets) = if gathers {
                    strip.clear();
                    for offset in &gemm.offsets[part.clone()] {
                        strip.extend_from_slice(&self.b[offset + start..offset + start + columns]);
                    }
                    (strip.as_ptr(), &gemm.gathered[..part.len()])
                } else if self.in_panels {
                    let panel = first * gemm.depth() + part.start * columns;
                    (self.b.as_ptr().wrapping_add(panel), &gemm.gathered[..part.len()])
                } else {
                    (self.b.as_ptr().wrapping_add(start), &gemm.offsets[part.clone()])
                };
                for row in self.rows.0..self.rows.1 {
                    let total = totals.as_mut_ptr().wrapping_add(tile * M * columns);
                    tile += 1;
                    // SAFETY: `run` checked the lengths: rows hold `depth` elements, packed ones `depth · M` per tile,
                    // and `b` holds `reach` ≥ largest offset + start + columns; a strip and a panel hold `columns`
                    // elements per offset, and the totals `M · columns` per tile unless the only part is the last.
                    unsafe {
                        let mut sums = if part.start == 0 {
                            self.initial::<V, M, N>(row * M)
                        } else {
                            loaded::<V, M, N>(total)
                        };
                        match self.a {
                            Rows::Packed(packed) => {
                                let a = packed.as_ptr().add((row * gemm.depth() + part.start) * M);
                                multiply_part::<V, M, N>(
                                    &mut sums,
                                    Packed(a),
                                    offsets,
                                    streams,
                                    part.start == 0,
                                );
                            }
                            Rows::Plain(rows) => {
                                let a = Plain::new(rows, gemm, row * M, part.start);
                                multiply_part::<V, M, N>(&mut sums, a, offsets, streams, part.start == 0);
                            }
                        }
                        if is_last {
                            self.store::<V, M, N>(&sums, row * M, first, start);
                        } else {
                            for (i, sum) in sums.iter().flatten().enumerate() {
                                sum.store(total.add(i * V::LANES));
                            }
                        }
                    }
                }
            }
        }
        if gathers {
            STRIP.set(strip);
        }
        if !is_whole {
            TOTALS.set(totals);
        }
    }

    #[inline(always)]
    unsafe fn initial<V: Vector, const M: usize, const N: usize>(&self, row: usize) -> [[V; N]; M] {
        let bias = |m: usize| self.epilogue.bias.and_then(|bias| bias.get(self.first_row + row + m));
        // SAFETY: the caller guarantees the instruction set.
        unsafe {
            let mut sums = [[V::splat(0.0); N]; M];
            for (m, sums) in sums.iter_mut().enumerate() {
                *sums = [V::splat(bias(m).copied().unwrap_or(0.0)); N];
            }
            sums
        }
    }

    /// Stores the results that lie in columns of the layout, starting with stream element `first`.
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
                // Row y of the image is stream elements `y · pitch ..`: computes the lanes that hold them.
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
        // SAFETY: the caller guarantees that lanes `from..to` at `place` are valid; no other task accesses them.
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

/// Reads the totals of a tile.
///
/// # Safety
/// `from` must hold M · N vectors.
#[inline(always)]
unsafe fn loaded<V: Vector, const M: usize, const N: usize>(from: *const f32) -> [[V; N]; M] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut sums = [[V::splat(0.0); N]; M];
        for (i, sum) in sums.as_flattened_mut().iter_mut().enumerate() {
            *sum = V::load(from.add(i * V::LANES));
        }
        sums
    }
}

/// The elements of a tile's rows at one k after the other.
trait Left<const M: usize>: Copy {
    /// Returns the element of row m, `k` terms further.
    unsafe fn at(self, m: usize, k: usize) -> f32;
    /// Moves `k` terms further.
    unsafe fn skip(self, k: usize) -> Self;
}

#[derive(Clone, Copy)]
struct Packed(*const f32);

impl<const M: usize> Left<M> for Packed {
    #[inline(always)]
    unsafe fn at(self, m: usize, k: usize) -> f32 {
        // SAFETY: the caller guarantees that the term exists.
        unsafe { *self.0.add(k * M + m) }
    }

    #[inline(always)]
    unsafe fn skip(self, k: usize) -> Self {
        Self(self.0.wrapping_add(k * M))
    }
}

/// One address per row.
#[derive(Clone, Copy)]
struct Plain<const M: usize>([*const f32; M]);

impl<const M: usize> Plain<M> {
    /// Returns the rows from `first` on, starting at term `k`. A tile at the end repeats the last row, whose results
    /// are not stored.
    #[inline(always)]
    fn new(rows: &[f32], gemm: &StreamGemm, first: usize, k: usize) -> Self {
        let mut starts = [rows.as_ptr(); M];
        for (m, start) in starts.iter_mut().enumerate() {
            *start = start.wrapping_add((first + m).min(gemm.m - 1) * gemm.depth() + k);
        }
        Self(starts)
    }
}

impl<const M: usize> Left<M> for Plain<M> {
    #[inline(always)]
    unsafe fn at(self, m: usize, k: usize) -> f32 {
        // SAFETY: the caller guarantees that the term exists.
        unsafe { *self.0[m].add(k) }
    }

    #[inline(always)]
    unsafe fn skip(self, k: usize) -> Self {
        Self(self.0.map(|row| row.wrapping_add(k)))
    }
}

/// `sums[m][j] += Σₖ a[k][m] · b[offsets[k] + j]` for packed rows at `a`.
///
/// # Safety
/// Same as [`multiply_block`].
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector, const M: usize, const N: usize>(
    sums: &mut [[V; N]; M],
    a: *const f32,
    offsets: &[usize],
    b: *const f32,
) {
    // SAFETY: guaranteed by the caller.
    unsafe { multiply_part::<V, M, N>(sums, Packed(a), offsets, b, true) }
}

/// `sums[m][j] += Σₖ a[k][m] · b[offsets[k] + j]`, block by block. The first block of the first part is added term by
/// term, the sum of every other block at once.
///
/// # Safety
/// Same as [`multiply_block`].
#[inline(always)]
unsafe fn multiply_part<V: Vector, const M: usize, const N: usize>(
    sums: &mut [[V; N]; M],
    a: impl Left<M>,
    offsets: &[usize],
    b: *const f32,
    is_first: bool,
) {
    let (first, rest) = offsets.split_at(if is_first { offsets.len().min(BLOCK) } else { 0 });
    // SAFETY: guaranteed by the caller; each block gets its part of `a`.
    unsafe {
        multiply_block::<V, M, N>(sums, a, first, b);
        let a = a.skip(first.len());
        for (block, offsets) in rest.chunks(BLOCK).enumerate() {
            let mut own = [[V::splat(0.0); N]; M];
            multiply_block::<V, M, N>(&mut own, a.skip(block * BLOCK), offsets, b);
            for (sums, own) in sums.iter_mut().zip(&own) {
                for (sum, &own) in sums.iter_mut().zip(own) {
                    *sum = sum.add(own);
                }
            }
        }
    }
}

/// Inner loop: `sums[m][j] += Σₖ a[k][m] · b[offsets[k] + j]`.
///
/// # Safety
/// `a` must hold M elements per offset; `b` must be readable for N vectors from each offset.
#[inline(always)]
unsafe fn multiply_block<V: Vector, const M: usize, const N: usize>(
    sums: &mut [[V; N]; M],
    a: impl Left<M>,
    offsets: &[usize],
    b: *const f32,
) {
    // A local copy, so that the sums are kept in registers.
    let mut own = *sums;
    for (k, &offset) in offsets.iter().enumerate() {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut stream = [V::splat(0.0); N];
            for (v, stream) in stream.iter_mut().enumerate() {
                *stream = V::load(b.add(offset + v * V::LANES));
            }
            for (m, own) in own.iter_mut().enumerate() {
                let factor = V::splat(a.at(m, k));
                for (sum, &stream) in own.iter_mut().zip(&stream) {
                    *sum = sum.mul_add(factor, stream);
                }
            }
        }
    }
    *sums = own;
}
