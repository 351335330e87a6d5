//! Convolution with output channels in the lanes of a vector: a pixel of the input is multiplied by the weights of as many
//! channels as a tile has columns.
//!
//! Pixels are read one by one, so their distance does not matter: strides need no copy of the image with its columns
//! sorted, rows of results leave no gaps, and images of any size fill the tiles. In return, tiles of results are
//! transposed before they are stored, which pays off where a result is the sum of enough terms.
//!
//! Sums run over the terms in order, in blocks of [`BLOCK`], like those of [`stream_gemm`](super::stream_gemm), wherever
//! the tile lies: tasks change no bit.

use super::conv::{ConvEpilogue, ConvShape};
use super::planes::Planes;
use super::simd::{Isa, Job, Vector};
use super::stream_gemm::BLOCK;
use super::workers::{SharedSlice, Workers};

/// Vectors of weights per tile.
const VECTORS: usize = 2;
/// Maximum number of pixels per tile.
const MOST_PIXELS: usize = 6;
/// Maximum number of tiles of pixels per task: their inputs stay in the cache while the weights pass.
const MOST_TILES: usize = 16;
/// Time of transposing and storing a tile of results, in terms; measured.
const TERMS_OF_STORE: usize = 18;
/// Floating-point operations per task: some microseconds of work.
const TASK_FLOPS: usize = 1 << 19;
/// Number of elements between the weights that are read and those that are prefetched.
const AHEAD: usize = 1024;
/// Pixels of a tile when it is transposed; those that do not exist are ignored.
const ROWS: usize = 8;
/// Room for the results of a channel in a task.
const MOST_RESULTS: usize = MOST_TILES * MOST_PIXELS + ROWS;
/// Maximum number of lanes of a vector.
const MOST_LANES: usize = 16;

/// A convolution prepared for an instruction set.
#[derive(Clone, Debug)]
pub(crate) struct ChannelLanes {
    isa: Isa,
    shape: ConvShape,
    /// The padded image.
    planes: Planes,
    /// Position of each term in the padded image, for the first result.
    terms: Vec<usize>,
    /// Pixels per tile.
    pixels: usize,
}

impl ChannelLanes {
    /// Prepares a convolution; `None` if it has groups, no results or no terms, or a kernel of one element: its terms lie
    /// in distant planes, which are better gathered before they are read.
    pub(crate) fn new(shape: ConvShape, isa: Isa) -> Option<Self> {
        let window = shape.window;
        let area = window.output_area();
        let is_empty = area == 0 || shape.in_channels == 0 || shape.out_channels == 0;
        if shape.groups != 1 || is_empty || window.kernel_area() < 2 {
            return None;
        }
        let span = |axis: usize| {
            (window.output[axis] - 1) * window.stride[axis]
                + (window.kernel[axis] - 1) * window.dilation[axis]
                + 1
        };
        let start = window.pad_begin.map(|pad| -pad.cast_signed());
        let size = if start == [0, 0] {
            // No result reads beyond the image, except in the padding at the end.
            [span(0).max(window.input[0]), span(1).max(window.input[1])]
        } else {
            [span(0), span(1)]
        };
        let planes = Planes::new(shape.in_channels, window.input, vec![start], [1, 1], size);
        let [height, width] = window.kernel;
        let taps = (0..height).flat_map(|y| (0..width).map(move |x| [y, x]));
        let terms = (0..shape.in_channels).flat_map(|channel| {
            taps.clone().map(move |[y, x]| (channel, [y * window.dilation[0], x * window.dilation[1]]))
        });
        let terms = terms.map(|(channel, at)| planes.offset(channel, 0, at)).collect();
        // As many pixels per tile as waste the fewest sums; more pixels read the weights less often.
        let waste = |&pixels: &usize| area.div_ceil(pixels) * (2 * pixels + 1);
        let pixels = (4..=MOST_PIXELS).rev().min_by_key(waste).unwrap_or(MOST_PIXELS);
        Some(Self { isa, shape, planes, terms, pixels })
    }

    fn columns(&self) -> usize {
        VECTORS * self.isa.lanes()
    }

    fn panels(&self) -> usize {
        self.shape.out_channels.div_ceil(self.columns())
    }

    fn depth(&self) -> usize {
        self.terms.len()
    }

    /// Returns about the time that this takes, in hundredths of a product at full speed.
    pub(crate) fn cost(&self) -> u128 {
        let results = self.shape.window.output_area().next_multiple_of(self.pixels);
        let products = self.all_columns() as u128 * results as u128 * (self.depth() + TERMS_OF_STORE) as u128;
        110 * products
    }

    /// Returns the number of columns of a panel: the last one has a single vector if that is enough.
    fn width(&self, panel: usize) -> usize {
        let rest = self.shape.out_channels - panel * self.columns();
        if rest <= self.isa.lanes() { self.isa.lanes() } else { self.columns() }
    }

    /// Returns the number of columns of all panels.
    fn all_columns(&self) -> usize {
        let last = self.panels() - 1;
        last * self.columns() + self.width(last)
    }

    /// Returns the number of elements of the packed weights.
    pub(crate) fn packed_len(&self) -> usize {
        self.all_columns() * self.depth()
    }

    /// Packs the weights panel by panel, term by term.
    pub(crate) fn pack(&self, weights: &[f32], packed: &mut [f32], workers: Workers) {
        assert_eq!(packed.len(), self.packed_len(), "packed weights of another size");
        let depth = self.depth();
        workers.for_each_chunk(packed, self.columns() * depth, |panel, packed| {
            let first = panel * self.columns();
            for (k, lanes) in packed.chunks_exact_mut(self.width(panel)).enumerate() {
                for (channel, to) in (first..).zip(lanes) {
                    *to = weights.get(channel * depth + k).copied().unwrap_or(0.0);
                }
            }
        });
    }

    /// Returns the number of scratch elements that [`run`](Self::run) needs.
    pub(crate) fn scratch_len(&self) -> usize {
        if self.planes.is_identity() { 0 } else { self.planes.len() }
    }

    /// Computes `y = x ∗ weights`, with x C×H×W and y M×H'×W'.
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
        let x = if self.planes.is_identity() {
            x
        } else {
            let padded = &mut scratch[..self.planes.len()];
            self.planes.fill(x, padded, workers);
            padded
        };
        let area = self.shape.window.output_area();
        let tiles = area.div_ceil(self.pixels);
        let tile_step = tiles.div_ceil(tiles.div_ceil(MOST_TILES));
        let flops = 2 * self.depth() * self.columns() * self.pixels * tile_step;
        let panel_step = TASK_FLOPS.div_ceil(flops.max(1)).min(self.panels());
        let (tile_tasks, panel_tasks) = (tiles.div_ceil(tile_step), self.panels().div_ceil(panel_step));
        let y = SharedSlice::new(y);
        workers.for_each(tile_tasks * panel_tasks, |task| {
            let (panel, tile) = (task / tile_tasks * panel_step, task % tile_tasks * tile_step);
            self.isa.run(Tiles {
                conv: self,
                x,
                packed,
                epilogue,
                y,
                tiles: (tile, (tile + tile_step).min(tiles)),
                panels: (panel, (panel + panel_step).min(self.panels())),
            });
        });
    }

    /// Returns the position of the first term of a result in the padded image.
    fn position(&self, result: usize) -> usize {
        let Self { shape: ConvShape { window, .. }, planes, .. } = self;
        let (y, x) = (result / window.output[1], result % window.output[1]);
        y * window.stride[0] * planes.pitch() + x * window.stride[1]
    }
}

/// A task: some tiles of pixels, some panels of weights.
struct Tiles<'a> {
    conv: &'a ChannelLanes,
    x: &'a [f32],
    packed: &'a [f32],
    epilogue: ConvEpilogue<'a>,
    y: SharedSlice<'a>,
    tiles: (usize, usize),
    panels: (usize, usize),
}

impl Job for Tiles<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the caller guarantees the instruction set.
        unsafe {
            match self.conv.pixels {
                4 => self.tiles::<V, 4>(),
                5 => self.tiles::<V, 5>(),
                _ => self.tiles::<V, MOST_PIXELS>(),
            }
        }
    }
}

impl Tiles<'_> {
    #[inline(always)]
    unsafe fn tiles<V: Vector, const M: usize>(&self) {
        let area = self.conv.shape.window.output_area();
        let mut positions = [[0; M]; MOST_TILES];
        for (tile, positions) in (self.tiles.0..self.tiles.1).zip(&mut positions) {
            // Pixels beyond the end repeat the last one; their results are not stored.
            for (i, position) in positions.iter_mut().enumerate() {
                *position = self.conv.position((tile * M + i).min(area - 1));
            }
        }
        for panel in self.panels.0..self.panels.1 {
            // SAFETY: the positions of results and terms add up to elements of the padded image.
            unsafe {
                if self.conv.width(panel) > V::LANES {
                    self.panel::<V, M, VECTORS>(panel, &positions);
                } else {
                    self.panel::<V, M, 1>(panel, &positions);
                }
            }
        }
    }

    /// Computes the results of all tiles of pixels for a panel of weights, block by block of the terms: the weights of a block
    /// stay in the cache while the tiles pass. The first block is added to the biases term by term, the sum of every other
    /// block at once.
    #[inline(always)]
    unsafe fn panel<V: Vector, const M: usize, const N: usize>(
        &self,
        panel: usize,
        positions: &[[usize; M]; MOST_TILES],
    ) {
        let first = panel * self.conv.columns();
        let weights = self.packed[first * self.conv.depth()..].as_ptr();
        let tiles = self.tiles.0..self.tiles.1;
        // SAFETY: guaranteed by the caller; a panel holds N vectors per term.
        unsafe {
            let mut totals = [[self.biases::<V, N>(first); M]; MOST_TILES];
            for (block, terms) in self.conv.terms.chunks(BLOCK).enumerate() {
                let weights = weights.add(block * BLOCK * N * V::LANES);
                for (positions, total) in positions.iter().zip(&mut totals).take(tiles.len()) {
                    let pixels = positions.map(|position| self.x[position..].as_ptr());
                    if block == 0 {
                        multiply(total, &pixels, terms, weights);
                        continue;
                    }
                    let mut own = [[V::splat(0.0); N]; M];
                    multiply(&mut own, &pixels, terms, weights);
                    for (sum, &own) in total.as_flattened_mut().iter_mut().zip(own.as_flattened()) {
                        *sum = sum.add(own);
                    }
                }
            }
            if self.epilogue.relu {
                for sum in totals.as_flattened_mut().as_flattened_mut() {
                    *sum = sum.relu();
                }
            }
            self.store(&totals, first);
        }
    }

    /// Returns the biases of N vectors of channels.
    #[inline(always)]
    unsafe fn biases<V: Vector, const N: usize>(&self, first: usize) -> [V; N] {
        // SAFETY: only biases of channels that exist are read.
        unsafe {
            let mut biases = [V::splat(0.0); N];
            if let Some(bias) = self.epilogue.bias {
                for (v, to) in biases.iter_mut().enumerate() {
                    let at = first + v * V::LANES;
                    let own = bias.len().saturating_sub(at).min(V::LANES);
                    *to = if own == V::LANES {
                        V::load(bias.as_ptr().add(at))
                    } else {
                        V::load_lanes(bias.as_ptr().wrapping_add(at), 0, own)
                    };
                }
            }
            biases
        }
    }

    /// Transposes tiles and stores their results; the first channel is `first`.
    #[inline(always)]
    unsafe fn store<V: Vector, const M: usize, const N: usize>(
        &self,
        totals: &[[[V; N]; M]; MOST_TILES],
        first: usize,
    ) {
        let area = self.conv.shape.window.output_area();
        let results = self.tiles.0 * M..(self.tiles.1 * M).min(area);
        for v in 0..N {
            let channel = first + v * V::LANES;
            let channels = self.conv.shape.out_channels.saturating_sub(channel).min(V::LANES);
            // Rows of results, of one channel each: stored at once, because channels are often so far apart that they
            // share a few cache sets.
            let mut rows = [[0.0_f32; MOST_RESULTS]; MOST_LANES];
            for (tile, sums) in totals.iter().take(self.tiles.1 - self.tiles.0).enumerate() {
                // SAFETY: a row has room for a vector at the start of the last tile.
                unsafe { transpose(sums, v, &mut rows, tile * M) };
            }
            for (i, row) in rows[..channels].iter().enumerate() {
                // SAFETY: the results of channels that exist lie in `y`; no other task writes them.
                unsafe {
                    let to = self.y.as_mut_ptr().add((channel + i) * area + results.start);
                    std::ptr::copy_nonoverlapping(row.as_ptr(), to, results.len());
                }
            }
        }
    }
}

/// `sums[m][n] += Σₖ pixels[m][terms[k]] · weights[k][n]`.
///
/// # Safety
/// Every pixel must be readable at every term, and the weights must hold N vectors per term.
#[inline(always)]
unsafe fn multiply<V: Vector, const M: usize, const N: usize>(
    sums: &mut [[V; N]; M],
    pixels: &[*const f32; M],
    terms: &[usize],
    weights: *const f32,
) {
    // Local copies, so that they are kept in registers.
    let (mut own, pixels) = (*sums, *pixels);
    for (k, &term) in terms.iter().enumerate() {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut columns = [V::splat(0.0); N];
            for (n, column) in columns.iter_mut().enumerate() {
                *column = V::load(weights.add((k * N + n) * V::LANES));
            }
            V::prefetch(weights.wrapping_add(k * N * V::LANES + AHEAD));
            for (own, pixel) in own.iter_mut().zip(&pixels) {
                let pixel = V::splat(*pixel.add(term));
                for (sum, &column) in own.iter_mut().zip(&columns) {
                    *sum = sum.mul_add(pixel, column);
                }
            }
        }
    }
    *sums = own;
}

/// Writes vector `v` of each pixel of a tile to column `at` and the following ones; the elements of a vector belong to one
/// row each. Up to [`ROWS`] columns are written.
///
/// # Safety
/// Each row must have room for them.
#[inline(always)]
unsafe fn transpose<V: Vector, const M: usize, const N: usize>(
    sums: &[[V; N]; M],
    v: usize,
    rows: &mut [[f32; MOST_RESULTS]; MOST_LANES],
    at: usize,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut pixels = [V::splat(0.0); ROWS];
        for (pixel, sums) in pixels.iter_mut().zip(sums) {
            *pixel = sums[v];
        }
        // Each step doubles the number of pixels whose elements lie next to each other.
        for _ in 0..ROWS.ilog2() {
            let from = pixels;
            for i in 0..ROWS / 2 {
                (pixels[2 * i], pixels[2 * i + 1]) = from[i].interleave(from[i + ROWS / 2]);
            }
        }
        if V::LANES == ROWS {
            for (row, pixel) in rows.iter_mut().zip(pixels) {
                pixel.store(row.as_mut_ptr().add(at));
            }
            return;
        }
        let mut flat = [[0.0_f32; ROWS]; MOST_LANES];
        for (i, pixel) in pixels.into_iter().enumerate() {
            pixel.store(flat.as_flattened_mut().as_mut_ptr().add(i * V::LANES));
        }
        for (row, flat) in rows.iter_mut().zip(&flat).take(V::LANES) {
            std::ptr::copy_nonoverlapping(flat.as_ptr(), row.as_mut_ptr().add(at), ROWS);
        }
    }
}
