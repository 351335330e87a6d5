//! Tasks of a product: tiles of results, part by part of the terms.
//!
//! The streams of a few columns of tiles stay in the cache while the rows pass. If the last column holds no more than a
//! vector of results, several tiles of rows share it, so that as many sums are in flight as elsewhere.

use std::cell::Cell;

use super::multiply::{Packed, Plain, Several, multiply_block, multiply_part};
use super::{
    BLOCK, Epilogue, GATHERING_ROWS, PART_LEN, Rows, StreamGemm, StreamLayout, tile_columns, with_tile,
};
use crate::kernel::simd::{Job, Vector};
use crate::kernel::workers::SharedSlice;

thread_local! {
    /// Gathered streams of a column of tiles; reused, because allocating memory costs more than the copy.
    static STRIP: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    /// Totals of a task's tiles between two parts of k.
    static TOTALS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// A task: a block of tiles of one group.
pub(super) struct Tiles<'a> {
    pub(super) gemm: &'a StreamGemm,
    pub(super) a: Rows<'a>,
    pub(super) b: &'a [f32],
    pub(super) in_panels: bool,
    pub(super) c: SharedSlice<'a>,
    /// First row of `c` that belongs to the group.
    pub(super) first_row: usize,
    pub(super) rows: (usize, usize),
    pub(super) columns: (usize, usize),
    pub(super) epilogue: Epilogue<'a>,
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
        let kept = totals.as_mut_ptr();
        // The last tile is shifted back to end with the stream, and stores only its own part. Panels are padded.
        let start_of = |column: usize| {
            let first = column * columns;
            if self.in_panels { first } else { first.min(len.saturating_sub(columns)) }
        };
        // At least one part, so that results without terms are stored, too.
        for k in (0..gemm.depth().max(1)).step_by(part_depth.max(1)) {
            let part = k..(k + part_depth).min(gemm.depth());
            let is_last = part.end == gemm.depth();
            let panel = part.len() * columns;
            // Columns of tiles whose streams stay in the cache while the rows pass: they write longer pieces of a row.
            let together = (PART_LEN / panel.max(1)).max(1);
            for left in (self.columns.0..self.columns.1).step_by(together) {
                let right = (left + together).min(self.columns.1);
                if gathers {
                    strip.resize(strip.len().max((right - left) * panel), 0.0);
                    for (column, strip) in (left..right).zip(strip.chunks_exact_mut(panel.max(1))) {
                        // SAFETY: the streams are as long as said below; a strip holds `columns` elements per offset.
                        unsafe {
                            gather::<V, N>(self.b, start_of(column), &gemm.offsets[part.clone()], strip);
                        }
                    }
                }
                let column_at = |column: usize| {
                    let (first, start) = (column * columns, start_of(column));
                    let (streams, offsets) = if gathers {
                        (strip.as_ptr().wrapping_add((column - left) * panel), &gemm.gathered[..part.len()])
                    } else if self.in_panels {
                        let panel = first * gemm.depth() + part.start * columns;
                        (self.b.as_ptr().wrapping_add(panel), &gemm.gathered[..part.len()])
                    } else {
                        (self.b.as_ptr().wrapping_add(start), &gemm.offsets[part.clone()])
                    };
                    Column { first, start, streams, offsets, term: part.start, is_last }
                };
                let total = |row: usize, column: usize| {
                    let tile =
                        (row - self.rows.0) * (self.columns.1 - self.columns.0) + column - self.columns.0;
                    kept.wrapping_add(tile * M * columns)
                };
                let is_narrow = N == 2 && self.is_narrow(right, V::LANES, columns);
                let wide = if is_narrow { right - 1 } else { right };
                // SAFETY: `run` checked the lengths: rows hold `depth` elements, packed ones `depth · M` per tile,
                // and `b` holds `reach` ≥ largest offset + start + columns; a strip and a panel hold `columns`
                // elements per offset, and the totals `M · columns` per tile unless the only part is the last.
                unsafe {
                    for row in self.rows.0..self.rows.1 {
                        for column in left..wide {
                            self.tile::<V, M, N>(row, &column_at(column), total(row, column));
                        }
                    }
                    if is_narrow {
                        let column = column_at(wide).narrowed(len, V::LANES);
                        for row in (self.rows.0..self.rows.1).step_by(N) {
                            self.narrow_tiles::<V, M, N>(row, &column, total(row, wide));
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

    /// True if the column of tiles before `end` is the last and holds no more than a vector of results.
    fn is_narrow(&self, end: usize, lanes: usize, columns: usize) -> bool {
        let len = self.gemm.layout.len();
        let rest = len.saturating_sub((end - 1) * columns);
        matches!(self.a, Rows::Packed(_)) && rest <= lanes && len >= lanes
    }

    /// Computes a tile of results, or adds a part of its terms to the total.
    #[inline(always)]
    unsafe fn tile<V: Vector, const M: usize, const N: usize>(
        &self,
        row: usize,
        column: &Column<'_>,
        total: *mut f32,
    ) {
        let Column { first, start, streams, offsets, term, is_last } = *column;
        // SAFETY: guaranteed by the caller.
        unsafe {
            if let (Rows::Packed(packed), true) = (self.a, self.gemm.depth() <= BLOCK) {
                // A single block: the sums never leave the registers.
                let mut sums = self.initial::<V, M, N>(row * M);
                let a = Packed(packed.as_ptr().add(row * self.gemm.depth() * M));
                multiply_block::<V, _, M, N>(&mut sums, a, offsets, streams);
                return self.store::<V, M, N>(&sums, row * M, first, start);
            }
            let mut sums =
                if term == 0 { self.initial::<V, M, N>(row * M) } else { loaded::<V, M, N>(total) };
            match self.a {
                Rows::Packed(packed) => {
                    let a = Packed(packed.as_ptr().add((row * self.gemm.depth() + term) * M));
                    multiply_part::<V, M, N>(&mut sums, a, offsets, streams, term == 0);
                }
                Rows::Plain(rows) => {
                    let a = Plain::new(rows, self.gemm, row * M, term);
                    multiply_part::<V, M, N>(&mut sums, a, offsets, streams, term == 0);
                }
            }
            if is_last {
                self.store::<V, M, N>(&sums, row * M, first, start);
            } else {
                keep(&sums, total);
            }
        }
    }

    /// Same for N tiles of rows of a column that holds no more than a vector of results: as many sums in flight as a tile
    /// of N vectors has. `sums[m][n]` is row m of tile n.
    #[inline(always)]
    unsafe fn narrow_tiles<V: Vector, const M: usize, const N: usize>(
        &self,
        row: usize,
        column: &Column<'_>,
        total: *mut f32,
    ) {
        let Column { first, start, streams, offsets, term, is_last } = *column;
        let Rows::Packed(packed) = self.a else { return };
        let own = N.min(self.rows.1 - row);
        // SAFETY: guaranteed by the caller; a missing tile is computed like the one before it, and not stored.
        unsafe {
            let mut sums = [[V::splat(0.0); N]; M];
            let mut rows = [packed.as_ptr(); N];
            if term > 0 {
                sums = loaded::<V, M, N>(total);
            }
            for (n, rows) in rows.iter_mut().enumerate() {
                let row = row + n.min(own - 1);
                *rows = packed.as_ptr().add((row * self.gemm.depth() + term) * M);
                if term == 0 {
                    let initial = self.initial::<V, M, 1>(row * M);
                    for (sums, [initial]) in sums.iter_mut().zip(initial) {
                        sums[n] = initial;
                    }
                }
            }
            multiply_part::<V, M, N>(&mut sums, Several(rows), offsets, streams, term == 0);
            if !is_last {
                return keep(&sums, total);
            }
            for n in 0..own {
                let mut tile = [[V::splat(0.0); 1]; M];
                for (tile, sums) in tile.iter_mut().zip(&sums) {
                    tile[0] = sums[n];
                }
                self.store::<V, M, 1>(&tile, (row + n) * M, first, start);
            }
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
        let x = start - y * pitch;
        if rows == M && y < height && start == first && x + N * V::LANES <= width {
            let place = c.wrapping_add(y * width + x);
            for (m, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    // SAFETY: a whole vector of results of row m, which lies in `c`.
                    unsafe { self.finish(sum, place.wrapping_add(m * area + v * V::LANES), 0, V::LANES) };
                }
            }
            return;
        }
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

/// Copies the N vectors that each stream has at `start` to a strip.
///
/// # Safety
/// They must lie in `b`, and the strip must have room for them.
#[inline(always)]
unsafe fn gather<V: Vector, const N: usize>(b: &[f32], start: usize, offsets: &[usize], strip: &mut [f32]) {
    for (offset, to) in offsets.iter().zip(strip.chunks_exact_mut(N * V::LANES)) {
        for v in 0..N {
            // SAFETY: guaranteed by the caller.
            unsafe {
                V::load(b.as_ptr().add(offset + start + v * V::LANES))
                    .store(to.as_mut_ptr().add(v * V::LANES));
            };
        }
    }
}

/// A column of tiles and a part of its terms.
struct Column<'a> {
    /// First stream element that belongs to the column.
    first: usize,
    /// First stream element that is computed.
    start: usize,
    /// Address of that element in a stream with offset 0.
    streams: *const f32,
    offsets: &'a [usize],
    /// First term.
    term: usize,
    /// True if there are no terms after these.
    is_last: bool,
}

impl Column<'_> {
    /// Returns the part of a last column that a single vector computes.
    fn narrowed(self, len: usize, lanes: usize) -> Self {
        // A column that is not shifted back is that of a panel, padded with zeros.
        let start = if self.start == self.first { self.first } else { self.first.min(len - lanes) };
        Self { start, streams: self.streams.wrapping_add(start - self.start), ..self }
    }
}

/// Writes the totals of a tile.
///
/// # Safety
/// `to` must have room for M · N vectors.
#[inline(always)]
unsafe fn keep<V: Vector, const M: usize, const N: usize>(sums: &[[V; N]; M], to: *mut f32) {
    for (i, sum) in sums.iter().flatten().enumerate() {
        // SAFETY: guaranteed by the caller.
        unsafe { sum.store(to.add(i * V::LANES)) };
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
