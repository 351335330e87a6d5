//! Depth-wise convolution, in which every channel has a single kernel of its own, and its gradient with respect to the
//! input.
//!
//! A channel is copied to a padded plane, which stays in the cache. For stride 2, the even and the odd columns of a row
//! lie apart, so that neighbouring results read neighbouring elements. [`ROWS`] rows of one vector stay in registers
//! while the kernel's taps run, column by column: a vector of the plane is read once for all rows that need it.
//!
//! The gradient is the same convolution of dy with the rotated kernel; for stride 2, zeros are inserted into dy. That
//! takes up to four times the multiplications, and is still limited by memory.
//!
//! A result is the bias plus its products in the order of the taps, wherever it lies: tasks change no bit.

use std::cell::Cell;

use super::conv::{ConvEpilogue, ConvShape};
use super::simd::{Isa, Job, Vector};
use super::workers::Workers;

/// Rows of a tile: enough sums in flight, and a divisor of the usual sizes 7, 14, 28, 56 and 112.
const ROWS: usize = 7;
/// Maximum number of rows that a tile reads: for stride 2 and a kernel of 7.
const MOST_SPAN: usize = 2 * (ROWS - 1) + 7;
/// Floating-point operations per task: some microseconds of work.
const TASK_FLOPS: usize = 1 << 19;

/// A depth-wise convolution prepared for an instruction set.
#[derive(Clone, Debug)]
pub(crate) struct Depthwise {
    isa: Isa,
    channels: usize,
    /// Height and width of the kernel: 3, 5 or 7.
    kernel: usize,
    /// Distance between the windows: 1 or 2.
    step: usize,
    /// Distance between the input's elements in the padded plane; zeros lie between them.
    spread: usize,
    pad: [usize; 2],
    input: [usize; 2],
    output: [usize; 2],
    /// True if the kernel is rotated.
    is_rotated: bool,
}

impl Depthwise {
    /// Prepares a convolution; `None` if it is of another kind.
    pub(crate) fn new(shape: ConvShape, isa: Isa) -> Option<Self> {
        let window = shape.window;
        let [step, other] = window.stride;
        let fits = Self::is_depthwise(&shape) && step == other && step <= 2;
        fits.then_some(Self {
            isa,
            channels: shape.in_channels,
            kernel: window.kernel[0],
            step,
            spread: 1,
            pad: window.pad_begin,
            input: window.input,
            output: window.output,
            is_rotated: false,
        })
    }

    /// Prepares the gradient of a convolution with respect to its input; `None` if it is of another kind.
    pub(crate) fn input_grad(shape: ConvShape, isa: Isa) -> Option<Self> {
        let window = shape.window;
        let [spread, other] = window.stride;
        let last = window.kernel[0] - 1;
        let pad = [last.checked_sub(window.pad_begin[0])?, last.checked_sub(window.pad_begin[1])?];
        let fits = Self::is_depthwise(&shape) && spread == other && spread <= 2;
        fits.then_some(Self {
            isa,
            channels: shape.in_channels,
            kernel: window.kernel[0],
            step: 1,
            spread,
            pad,
            input: window.output,
            output: window.input,
            is_rotated: true,
        })
    }

    fn is_depthwise(shape: &ConvShape) -> bool {
        let window = &shape.window;
        let [height, width] = window.kernel;
        let single = shape.groups == shape.in_channels && shape.groups == shape.out_channels;
        let empty = window.input_area() == 0 || window.output_area() == 0;
        single && !empty && height == width && matches!(height, 3 | 5 | 7) && window.dilation == [1, 1]
    }

    fn kernel_area(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Returns the number of elements of the packed weights.
    pub(crate) fn packed_len(&self) -> usize {
        self.channels * self.kernel_area()
    }

    /// Packs the kernels, one after the other.
    pub(crate) fn pack(&self, weights: &[f32], packed: &mut [f32]) {
        packed.copy_from_slice(weights);
        if self.is_rotated {
            packed.chunks_mut(self.kernel_area()).for_each(<[f32]>::reverse);
        }
    }

    /// Returns the number of elements between the rows of the padded plane, and between its even and odd columns.
    fn pitch(&self) -> (usize, usize) {
        let apart = self.output[1].next_multiple_of(self.isa.lanes()) + (self.kernel - 1) / self.step;
        (self.step * apart, apart)
    }

    /// Returns the number of rows of the padded plane.
    fn plane_rows(&self) -> usize {
        self.step * (self.output[0].next_multiple_of(ROWS) - 1) + self.kernel
    }

    /// Computes `y = x ∗ weights`, with x C×H×W and y C×H'×W'.
    pub(crate) fn run(
        &self,
        x: &[f32],
        packed: &[f32],
        epilogue: ConvEpilogue<'_>,
        y: &mut [f32],
        workers: Workers,
    ) {
        let [area, results] = [self.input, self.output].map(|[height, width]| height * width);
        assert_eq!(x.len(), self.channels * area, "an input of another size");
        assert_eq!(y.len(), self.channels * results, "an output of another size");
        assert_eq!(packed.len(), self.packed_len(), "packed weights of another size");
        assert!(epilogue.bias.is_none_or(|b| b.len() == self.channels), "a bias of another size");
        let step = TASK_FLOPS.div_ceil(2 * self.kernel_area() * results).min(self.channels);
        workers.for_each_chunk(y, step * results, |task, y| {
            let first = task * step;
            let x = &x[first * area..][..y.len() / results * area];
            let mut plane = PLANE.take();
            plane.clear();
            plane.resize(self.plane_rows() * self.pitch().0, 0.0);
            self.isa.run(Channels { conv: self, x, packed, epilogue, first, y, plane: &mut plane });
            PLANE.set(plane);
        });
    }
}

thread_local! {
    /// A padded plane; reused, because allocating memory costs more than the copy.
    static PLANE: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// A task: some channels.
struct Channels<'a> {
    conv: &'a Depthwise,
    /// Input of the task's channels.
    x: &'a [f32],
    packed: &'a [f32],
    epilogue: ConvEpilogue<'a>,
    /// First channel.
    first: usize,
    y: &'a mut [f32],
    /// A padded plane of zeros.
    plane: &'a mut [f32],
}

impl Job for Channels<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the caller guarantees the instruction set.
        unsafe {
            match (self.conv.kernel, self.conv.step) {
                (3, 1) => self.channels::<V, 3, 1>(),
                (3, _) => self.channels::<V, 3, 2>(),
                (5, 1) => self.channels::<V, 5, 1>(),
                (5, _) => self.channels::<V, 5, 2>(),
                (_, 1) => self.channels::<V, 7, 1>(),
                (_, _) => self.channels::<V, 7, 2>(),
            }
        }
    }
}

impl Channels<'_> {
    #[inline(always)]
    unsafe fn channels<V: Vector, const K: usize, const S: usize>(self) {
        let Self { conv, x, packed, epilogue, first, y, plane } = self;
        let [area, results] = [conv.input, conv.output].map(|[height, width]| height * width);
        for (i, (x, y)) in x.chunks_exact(area).zip(y.chunks_exact_mut(results)).enumerate() {
            let channel = first + i;
            let weights = &packed[channel * K * K..(channel + 1) * K * K];
            let bias = epilogue.bias.map_or(0.0, |bias| bias[channel]);
            // SAFETY: the caller guarantees the instruction set; `run` made the plane as large as `tiles` reads.
            unsafe {
                conv.fill::<V>(x, plane);
                conv.tiles::<V, K, S>(plane, weights, bias, epilogue.relu, y);
            }
        }
    }
}

impl Depthwise {
    /// Copies a channel to the padded plane. Elements that no window reads may lie outside, and are left out.
    #[inline(always)]
    unsafe fn fill<V: Vector>(&self, x: &[f32], plane: &mut [f32]) {
        let (pitch, apart) = self.pitch();
        let (width, left) = (self.input[1], self.pad[1]);
        // Columns whose place lies within a row of the plane.
        let columns = width.min((self.step * apart).saturating_sub(left).div_ceil(self.spread));
        let rows = plane.chunks_exact_mut(pitch).skip(self.pad[0]).step_by(self.spread);
        for (from, row) in x.chunks_exact(width).zip(rows) {
            let from = &from[..columns];
            // SAFETY: the caller guarantees the instruction set.
            unsafe {
                match (self.step, self.spread) {
                    (1, 1) => copy_row::<V>(from, &mut row[left..]),
                    (_, 1) => split_row::<V>(from, row, left, apart),
                    _ => spread_row(from, &mut row[left..]),
                }
            }
        }
    }

    /// Computes the results of a channel.
    #[inline(always)]
    unsafe fn tiles<V: Vector, const K: usize, const S: usize>(
        &self,
        plane: &[f32],
        weights: &[f32],
        bias: f32,
        relu: bool,
        y: &mut [f32],
    ) {
        let (pitch, apart) = self.pitch();
        let [height, width] = self.output;
        assert!(weights.len() == K * K && y.len() == height * width && S == self.step);
        assert!(plane.len() >= self.plane_rows() * pitch && V::LANES == self.isa.lanes());
        for top in (0..height).step_by(ROWS) {
            for left in (0..width).step_by(V::LANES) {
                // SAFETY: the last row that a tile reads is S · (ROWS − 1) + K − 1 rows below its first, and the last
                // element of a tap LANES + (K − 1) ÷ S elements beyond its first: `plane_rows` and `pitch` contain
                // both. Only rows and lanes within the output are stored.
                unsafe {
                    let mut sums = [V::splat(bias); ROWS];
                    for column in 0..K {
                        let start = S * top * pitch + column % S * apart + column / S + left;
                        let from = plane.as_ptr().add(start);
                        let mut read = [V::splat(0.0); MOST_SPAN];
                        for (i, read) in read.iter_mut().enumerate().take(S * (ROWS - 1) + K) {
                            *read = V::load(from.add(i * pitch));
                        }
                        for row in 0..K {
                            let weight = V::splat(*weights.as_ptr().add(row * K + column));
                            for (i, sum) in sums.iter_mut().enumerate() {
                                *sum = sum.mul_add(weight, read[S * i + row]);
                            }
                        }
                    }
                    let lanes = (width - left).min(V::LANES);
                    let to = y.as_mut_ptr().add(top * width + left);
                    for (i, &sum) in sums.iter().enumerate().take(height - top) {
                        let sum = if relu { sum.relu() } else { sum };
                        let to = to.add(i * width);
                        if lanes == V::LANES { sum.store(to) } else { sum.store_lanes(to, 0, lanes) }
                    }
                }
            }
        }
    }
}

/// Copies elements to every other place.
#[inline(always)]
fn spread_row(from: &[f32], to: &mut [f32]) {
    to.iter_mut().step_by(2).zip(from).for_each(|(to, &value)| *to = value);
}

#[inline(always)]
unsafe fn copy_row<V: Vector>(from: &[f32], to: &mut [f32]) {
    let to = &mut to[..from.len()];
    for start in (0..from.len()).step_by(V::LANES) {
        let lanes = (from.len() - start).min(V::LANES);
        // SAFETY: the lanes lie in both slices.
        unsafe {
            let (from, to) = (from.as_ptr().add(start), to.as_mut_ptr().add(start));
            if lanes == V::LANES {
                V::load(from).store(to);
            } else {
                V::load_lanes(from, 0, lanes).store_lanes(to, 0, lanes);
            }
        }
    }
}

/// Copies elements at even and at odd places of a row apart; the first element lies at place `left`.
#[inline(always)]
unsafe fn split_row<V: Vector>(from: &[f32], row: &mut [f32], left: usize, apart: usize) {
    let step = 2 * V::LANES;
    let [even, odd] = [left, left + 1].map(|place| place % 2 * apart + place / 2);
    assert!(row.len() >= (even + from.len().div_ceil(2)).max(odd + from.len() / 2));
    for start in (0..from.len()).step_by(step) {
        let count = (from.len() - start).min(step);
        // SAFETY: `count` elements lie in `from`: half of them, rounded up and down, at the even and odd places of the
        // row.
        unsafe {
            let from = from.as_ptr().add(start);
            let even = row.as_mut_ptr().add(even + start / 2);
            let odd = row.as_mut_ptr().add(odd + start / 2);
            if count == step {
                let (first, second) = V::load_pairs(from);
                first.store(even);
                second.store(odd);
            } else {
                let low = V::load_lanes(from, 0, count.min(V::LANES));
                let high = V::load_lanes(from.wrapping_add(V::LANES), 0, count.saturating_sub(V::LANES));
                let (first, second) = low.separate(high);
                first.store_lanes(even, 0, count.div_ceil(2));
                second.store_lanes(odd, 0, count / 2);
            }
        }
    }
}
