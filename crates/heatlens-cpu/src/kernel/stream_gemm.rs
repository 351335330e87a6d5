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

mod multiply;
mod tiles;

use super::simd::Isa;
use super::workers::{SharedSlice, Workers};
pub(super) use multiply::multiply;
use tiles::Tiles;

/// Floating-point operations per task: some microseconds of work.
const TASK_FLOPS: usize = 1 << 19;
/// Number of products summed separately before they are added to the total. Fewer would round even less (best is about
/// √k) but move more data.
pub(super) const BLOCK: usize = 256;
/// Maximum number of elements of packed rows that stay in the cache while the streams are processed.
const RESIDENT_ROWS: usize = 1 << 17;
/// The same if k is divided into parts.
const RESIDENT_PART: usize = 1 << 15;
/// Minimum number of terms for which dividing them into parts pays: fewer than about 20 rows of more terms stay in the
/// cache, and the streams would be read again for each such group of rows.
const LONG: usize = 2049;
/// Columns of tiles per task if k is divided into parts, for which packed rows are read again.
const PART_COLUMNS: usize = 4;
/// Maximum number of elements of a part of the streams of a column of tiles: half of the L1 cache.
const PART_LEN: usize = 1 << 12;
/// Time of storing a tile of results, in terms.
const TERMS_OF_STORE: usize = 12;
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

    /// Returns the number of products, including those of incomplete tiles; storing a tile counts as some terms.
    pub(super) fn products(&self) -> u128 {
        let columns = tile_columns(self.isa, self.tile_rows);
        let columns = self.layout.len().next_multiple_of(columns);
        let rows = self.row_tiles() * self.tile_rows;
        rows as u128 * columns as u128 * (self.depth() + TERMS_OF_STORE) as u128
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
