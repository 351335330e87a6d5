//! 3×3 convolution with stride 1 and fewer multiplications: Winograd's minimal filtering F(2×2, 3×3)
//! (Lavin & Gray 2016, Fast Algorithms for Convolutional Neural Networks, CVPR, §4.1).
//!
//! The output is divided into tiles of 2×2, each of which depends on 4×4 of the input. With d the 4×4 input and g a
//! filter, a tile is `Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A`, where ⊙ is the elementwise product: 16 multiplications per channel
//! instead of 36. Summed over channels, each of the 16 *places* of ⊙ is a separate matrix product.
//!
//! Tiles are two elements apart, so element (i, j) of all tiles is a stream of one of the input's four phases, as in a
//! convolution with stride 2 ([`input_streams`]), or for small images, in which the gaps between rows of tiles count, of
//! a plane for each row phase and column. A *panel* contains as many adjacent tiles as a product's tile has
//! columns: `Bᵀ d B` of all channels, which stays in the cache while the filters are processed. All 16 sums of some
//! filters stay in the L1 cache until `Aᵀ…A` turns them into results.

use std::cell::Cell;

use super::conv::{ConvEpilogue, ConvShape, input_streams};
use super::planes::Planes;
use super::simd::{Isa, Job, Vector};
use super::stream_gemm::{multiply, tile_columns, tile_rows, with_tile};
use super::window::Window2d;
use super::workers::{SharedSlice, Workers};

/// Elements of an input tile.
const PLACES: usize = 16;
/// Maximum number of rows of a product's tile.
const MOST_ROWS: usize = 12;
/// Maximum number of sums of a place in flight: rows times columns.
const MOST_SUMS: usize = MOST_ROWS * 32;
/// Time of transforming a tile of the input or output, in products of a place; measured.
const TRANSFORM: usize = 18;
/// Panels of which one must be saved for rows of tiles without gaps to pay off.
const DENSER: usize = 16;
/// Elements of the panels processed together: some megabytes, whatever the size of the image.
const GROUP_LEN: usize = 1 << 21;
/// Maximum number of elements of the filters that stay in the cache of a thread.
const RESIDENT_FILTERS: usize = 1 << 17;
/// Minimum number of panels for threads to share the work evenly.
const MANY_PANELS: usize = 16;
/// Elements of a cache line.
const LINE: usize = 16;
/// Products per task: some microseconds of work.
const TASK_PRODUCTS: usize = 1 << 19;

thread_local! {
    /// A panel of this thread; reused, because allocating memory costs more than filling it.
    static PANEL: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// A convolution prepared for an instruction set.
#[derive(Clone, Debug)]
pub(crate) struct Winograd {
    isa: Isa,
    shape: ConvShape,
    planes: Planes,
    /// Start of the stream of each tile element in a channel's planes.
    elements: [usize; PLACES],
    /// Rows of tiles, and tiles per row.
    tiles: [usize; 2],
    tile_rows: usize,
    /// Start of each channel in a place's part of a panel.
    channels: Vec<usize>,
}

impl Winograd {
    /// Prepares a convolution; `None` if its windows are of another kind or there are no channels.
    pub(crate) fn new(shape: ConvShape, isa: Isa) -> Option<Self> {
        let Window2d { kernel, stride, dilation, input, output, pad_begin, .. } = shape.window;
        let fits = (kernel, stride, dilation) == ([3; 2], [1; 2], [1; 2]) && shape.groups == 1;
        let is_empty = shape.in_channels == 0 || shape.out_channels == 0;
        if !fits || is_empty || output.contains(&0) || input.contains(&0) {
            return None;
        }
        let tiles = output.map(|size| size.div_ceil(2));
        let apart = Window2d { kernel: [4; 2], stride: [2; 2], output: tiles, pad_begin, ..shape.window };
        let (planes, streams) = input_streams(&ConvShape { window: apart, ..shape });
        let tile_rows = tile_rows(isa, shape.out_channels);
        let columns = tile_columns(isa, tile_rows);
        let channels = (0..shape.in_channels).map(|c| c * columns).collect();
        let elements = *streams.first_chunk()?;
        let winograd = Self { isa, shape, planes, elements, tiles, tile_rows, channels };
        let dense = winograd.dense();
        let is_denser = DENSER * dense.panels() <= (DENSER - 1) * winograd.panels();
        Some(if is_denser { dense } else { winograd })
    }

    /// Returns the same with a plane for every column of a tile instead of one that two columns share: twice the
    /// elements, but no gaps between the rows of tiles.
    fn dense(&self) -> Self {
        let Window2d { pad_begin: [top, left], input, .. } = self.shape.window;
        let start = |at: usize, pad: usize| at.cast_signed() - pad.cast_signed();
        let starts = (0..2).flat_map(|y| (0..4).map(move |x| [start(y, top), start(x, left)])).collect();
        let size = [self.tiles[0] + 1, self.tiles[1]];
        let planes = Planes::new(self.shape.in_channels, input, starts, [2; 2], size);
        let elements = std::array::from_fn(|i| planes.offset(0, i / 4 % 2 * 4 + i % 4, [i / 8, 0]));
        Self { planes, elements, ..self.clone() }
    }

    /// Returns about the time that this takes, in hundredths of a product.
    pub(crate) fn cost(&self) -> u128 {
        let ConvShape { in_channels, out_channels, .. } = self.shape;
        let products =
            in_channels * self.row_tiles() * self.tile_rows + TRANSFORM * (in_channels + out_channels);
        100 * (PLACES * self.panels() * self.columns()) as u128 * products as u128
    }

    /// Returns the number of tiles per panel.
    fn columns(&self) -> usize {
        tile_columns(self.isa, self.tile_rows)
    }

    fn panels(&self) -> usize {
        let stream = (self.tiles[0] - 1) * self.planes.pitch() + self.tiles[1];
        stream.div_ceil(self.columns())
    }

    /// Returns the number of elements of a panel: place by place, channel by channel.
    fn panel_len(&self) -> usize {
        PLACES * self.place_len()
    }

    /// Returns the distance between the places of a panel, of which a cache line is unused: places that are powers of two
    /// apart would share a few cache sets.
    fn place_len(&self) -> usize {
        self.shape.in_channels * self.columns() + LINE
    }

    fn row_tiles(&self) -> usize {
        self.shape.out_channels.div_ceil(self.tile_rows)
    }

    /// Returns the number of elements of the packed filters of a tile of rows.
    fn packed_tile(&self) -> usize {
        PLACES * self.shape.in_channels * self.tile_rows
    }

    /// Returns the number of elements of the packed weights.
    pub(crate) fn packed_len(&self) -> usize {
        self.row_tiles() * self.packed_tile()
    }

    /// Transforms and packs the filters, a tile of rows at a time, place by place, channel by channel. `filter(m, c)`
    /// returns the kernel of output channel m for input channel c.
    pub(crate) fn pack(
        &self,
        packed: &mut [f32],
        filter: impl Fn(usize, usize) -> [f32; 9] + Sync,
        workers: Workers,
    ) {
        assert_eq!(packed.len(), self.packed_len(), "packed weights of another size");
        let (rows, inputs) = (self.tile_rows, self.shape.in_channels);
        workers.for_each_chunk(packed, self.packed_tile(), |tile, packed| {
            let first = tile * rows;
            let own = rows.min(self.shape.out_channels - first);
            // Missing rows of the last tile remain zero.
            let mut filters = [[0.0; PLACES]; MOST_ROWS];
            for channel in 0..inputs {
                for (i, transformed) in filters[..own].iter_mut().enumerate() {
                    *transformed = transformed_filter(&filter(first + i, channel));
                }
                for (place, packed) in packed.chunks_exact_mut(inputs * rows).enumerate() {
                    let packed = &mut packed[channel * rows..(channel + 1) * rows];
                    packed.iter_mut().zip(&filters).for_each(|(to, filter)| *to = filter[place]);
                }
            }
        });
    }

    /// Returns the number of scratch elements that [`run`](Self::run) needs: the input's planes, and some panels.
    pub(crate) fn scratch_len(&self) -> usize {
        self.planes_len() + self.together() * self.panel_len()
    }

    /// True if each thread processes panels of its own, which then stay in its cache together with the filters.
    fn is_panelwise(&self) -> bool {
        self.panels() >= MANY_PANELS && self.packed_len() <= RESIDENT_FILTERS
    }

    /// Returns the number of panels that several threads process together.
    fn together(&self) -> usize {
        if self.is_panelwise() {
            return 0;
        }
        (GROUP_LEN / self.panel_len()).clamp(1, self.panels())
    }

    /// Returns the size of the planes, including elements that the last panel reads beyond the last stream.
    fn planes_len(&self) -> usize {
        let last = (self.shape.in_channels - 1) * self.planes.channel_len();
        let furthest = self.elements.iter().max().copied().unwrap_or(0);
        self.planes.len().max(last + furthest + self.panels() * self.columns())
    }

    /// Computes `y = x ∗ weights`, with x C×H×W and y M×H'×W'. The contents of the scratch are ignored.
    pub(crate) fn run(
        &self,
        x: &[f32],
        packed: &[f32],
        epilogue: ConvEpilogue<'_>,
        y: &mut [f32],
        scratch: &mut [f32],
        workers: Workers,
    ) {
        self.shape.check_lengths(x, epilogue, y);
        assert_eq!(packed.len(), self.packed_len(), "packed weights of another size");
        let (planes, panels) = scratch[..self.scratch_len()].split_at_mut(self.planes_len());
        self.planes.fill(x, planes, workers);
        let y = SharedSlice::new(y);
        let gather = |index: usize, panel: &mut [f32]| {
            self.isa.run(Gather { winograd: self, planes, index, panel });
        };
        let multiply = |index: usize, panel: &[f32], rows: (usize, usize)| {
            self.isa.run(Products { winograd: self, packed, panel, index, rows, epilogue, y });
        };
        let products = PLACES * self.shape.in_channels * self.tile_rows * self.columns();
        let step = TASK_PRODUCTS.div_ceil(products).min(self.row_tiles());
        let tasks = self.row_tiles().div_ceil(step);
        if self.is_panelwise() {
            return workers.for_each(self.panels(), |index| {
                let mut panel = PANEL.take();
                panel.resize(panel.len().max(self.panel_len()), 0.0);
                gather(index, &mut panel[..self.panel_len()]);
                multiply(index, &panel[..self.panel_len()], (0, self.row_tiles()));
                PANEL.set(panel);
            });
        }
        // A single thread reuses the memory of one panel, which stays in the cache.
        let together = if workers == Workers::Serial { 1 } else { self.together() };
        for first in (0..self.panels()).step_by(together) {
            let group = together.min(self.panels() - first);
            let panels = &mut panels[..group * self.panel_len()];
            workers.for_each_chunk(panels, self.panel_len(), |i, panel| gather(first + i, panel));
            workers.for_each(group * tasks, |task| {
                let (i, row) = (task / tasks, task % tasks * step);
                let panel = &panels[i * self.panel_len()..(i + 1) * self.panel_len()];
                multiply(first + i, panel, (row, (row + step).min(self.row_tiles())));
            });
        }
    }
}

/// Computes `G g Gᵀ`.
fn transformed_filter(g: &[f32; 9]) -> [f32; PLACES] {
    let mut places = [0.0; PLACES];
    for x in 0..3 {
        let column = filter_line(g[x], g[3 + x], g[6 + x]);
        (0..4).for_each(|y| places[4 * y + x] = column[y]);
    }
    for row in places.as_chunks_mut::<4>().0 {
        *row = filter_line(row[0], row[1], row[2]);
    }
    places
}

/// Multiplies `G` by a column.
fn filter_line(a: f32, b: f32, c: f32) -> [f32; 4] {
    [a, ((a + c) + b) * 0.5, ((a + c) - b) * 0.5, c]
}

/// A task: `Bᵀ d B` of the tiles of a panel, for all channels.
struct Gather<'a> {
    winograd: &'a Winograd,
    planes: &'a [f32],
    /// Number of the panel.
    index: usize,
    panel: &'a mut [f32],
}

impl Job for Gather<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (columns, inputs) = (self.winograd.columns(), self.winograd.shape.in_channels);
        assert!(
            self.panel.len() == self.winograd.panel_len() && self.planes.len() >= self.winograd.planes_len()
        );
        let (elements, apart) = (&self.winograd.elements, self.winograd.place_len());
        for channel in 0..inputs {
            let start = channel * self.winograd.planes.channel_len() + self.index * columns;
            for column in (0..columns).step_by(V::LANES) {
                let from = self.planes.as_ptr().wrapping_add(start + column);
                let to = self.panel.as_mut_ptr().wrapping_add(channel * columns + column);
                // SAFETY: `planes_len` covers the last element that the last panel reads, and a panel holds
                // `columns` elements per place and channel.
                unsafe {
                    let mut d = [[V::splat(0.0); 4]; 4];
                    for i in 0..PLACES {
                        d[i / 4][i % 4] = V::load(from.add(elements[i]));
                    }
                    let d = transformed_input(d);
                    for i in 0..PLACES {
                        d[i / 4][i % 4].store(to.add(i * apart));
                    }
                }
            }
        }
    }
}

// Plain loops and always inlined functions: a closure may not be inlined, and is then compiled without the instruction
// set.

/// Computes `Bᵀ d B`.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // j is a column of four rows
unsafe fn transformed_input<V: Vector>(mut d: [[V; 4]; 4]) -> [[V; 4]; 4] {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        for j in 0..4 {
            [d[0][j], d[1][j], d[2][j], d[3][j]] = input_line(d[0][j], d[1][j], d[2][j], d[3][j]);
        }
        for row in &mut d {
            *row = input_line(row[0], row[1], row[2], row[3]);
        }
    }
    d
}

/// Multiplies `Bᵀ` by a column.
#[inline(always)]
unsafe fn input_line<V: Vector>(a: V, b: V, c: V, d: V) -> [V; 4] {
    // SAFETY: the caller guarantees the instruction set.
    unsafe { [a.sub(c), b.add(c), c.sub(b), b.sub(d)] }
}

/// Computes `Aᵀ m A`.
#[inline(always)]
unsafe fn transformed_sums<V: Vector>(m: &[[V; 4]; 4]) -> [[V; 2]; 2] {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let mut half = [[V::splat(0.0); 4]; 2];
        for j in 0..4 {
            [half[0][j], half[1][j]] = sums_line(m[0][j], m[1][j], m[2][j], m[3][j]);
        }
        let [a, b] = half;
        [sums_line(a[0], a[1], a[2], a[3]), sums_line(b[0], b[1], b[2], b[3])]
    }
}

/// Multiplies `Aᵀ` by a column.
#[inline(always)]
unsafe fn sums_line<V: Vector>(a: V, b: V, c: V, d: V) -> [V; 2] {
    // SAFETY: the caller guarantees the instruction set.
    unsafe { [a.add(b).add(c), b.sub(c).sub(d)] }
}

/// A task: the results of some tiles of rows (output channels) for the tiles of a panel.
struct Products<'a> {
    winograd: &'a Winograd,
    packed: &'a [f32],
    panel: &'a [f32],
    /// Number of the panel.
    index: usize,
    rows: (usize, usize),
    epilogue: ConvEpilogue<'a>,
    y: SharedSlice<'a>,
}

impl Job for Products<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the caller guarantees the instruction set; filters are packed for `tile_rows` rows.
        unsafe { with_tile!(self.winograd.tile_rows, V, self.tiles()) }
    }
}

impl Products<'_> {
    #[inline(always)]
    unsafe fn tiles<V: Vector, const M: usize, const N: usize>(&self) {
        let (inputs, columns) = (self.winograd.shape.in_channels, N * V::LANES);
        debug_assert_eq!(columns, self.winograd.columns());
        // Sums of a tile of rows: place by place, row by row.
        let mut sums = [0.0_f32; PLACES * MOST_SUMS];
        for row in self.rows.0..self.rows.1 {
            for place in 0..PLACES {
                // SAFETY: `run` checked the lengths: packed filters hold `inputs · M` elements per tile of rows and
                // place, and a panel `place_len` ≥ `inputs · columns`; M · columns is at most MOST_SUMS.
                unsafe {
                    let filters = self.packed.as_ptr().add((row * PLACES + place) * inputs * M);
                    let tiles = self.panel.as_ptr().add(place * self.winograd.place_len());
                    let mut own = [[V::splat(0.0); N]; M];
                    multiply::<V, M, N>(&mut own, filters, &self.winograd.channels, tiles);
                    for (i, own) in own.iter().flatten().enumerate() {
                        own.store(sums.as_mut_ptr().add(place * M * columns + i * V::LANES));
                    }
                }
            }
            for m in 0..M.min(self.winograd.shape.out_channels - row * M) {
                for v in 0..N {
                    // SAFETY: as above; `store` writes results of output channel `row · M + m`.
                    unsafe {
                        let own = sums.as_ptr().add(m * columns + v * V::LANES);
                        let mut all = [[V::splat(0.0); 4]; 4];
                        for (place, sum) in all.as_flattened_mut().iter_mut().enumerate() {
                            *sum = V::load(own.add(place * M * columns));
                        }
                        self.store(transformed_sums(&all), row * M + m, self.index * columns + v * V::LANES);
                    }
                }
            }
        }
    }

    /// Stores the 2×2 tiles of an output channel, starting with tile `at` of the stream.
    #[inline(always)]
    unsafe fn store<V: Vector>(&self, results: [[V; 2]; 2], channel: usize, at: usize) {
        let ([tile_rows, tile_columns], pitch) = (self.winograd.tiles, self.winograd.planes.pitch());
        let [height, width] = self.winograd.shape.window.output;
        let bias = self.epilogue.bias.and_then(|bias| bias.get(channel)).copied().unwrap_or(0.0);
        let plane = self.y.as_mut_ptr().wrapping_add(channel * height * width);
        for (below, [even, odd]) in results.into_iter().enumerate() {
            // SAFETY: the caller guarantees the instruction set.
            let halves = unsafe { self.finished(even, odd, bias) };
            for row in (at / pitch..tile_rows).take_while(|row| row * pitch < at + V::LANES) {
                let y = 2 * row + below;
                if y >= height {
                    break;
                }
                // Elements of the two halves that belong to this row: those of its tiles, without those beyond the
                // edge.
                let from = 2 * (row * pitch).saturating_sub(at);
                let end = (2 * tile_columns).min(width) + 2 * row * pitch;
                let to = end.saturating_sub(2 * at).min(2 * V::LANES);
                let place = plane.wrapping_add(y * width + 2 * at).wrapping_sub(2 * row * pitch);
                for (i, half) in halves.into_iter().enumerate() {
                    let (first, place) = (i * V::LANES, place.wrapping_add(i * V::LANES));
                    let from = from.saturating_sub(first);
                    let to = to.saturating_sub(first).min(V::LANES);
                    if from == 0 && to == V::LANES {
                        // SAFETY: these lanes are results in row y, which no other task writes.
                        unsafe { half.store(place) };
                    } else if from < to {
                        // SAFETY: as above.
                        unsafe { half.store_lanes(place, from, to) };
                    }
                }
            }
        }
    }
    /// Adds the bias and interleaves the results to two vectors of adjacent ones.
    #[inline(always)]
    unsafe fn finished<V: Vector>(&self, even: V, odd: V, bias: f32) -> [V; 2] {
        // SAFETY: the caller guarantees the instruction set.
        unsafe {
            let bias = V::splat(bias);
            let (low, high) = V::interleave(even.add(bias), odd.add(bias));
            if self.epilogue.relu { [low.relu(), high.relu()] } else { [low, high] }
        }
    }
}
