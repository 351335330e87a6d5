//! Average pooling and its gradient.

use std::ops::Range;

use super::simd::{Isa, Job, Vector};
use super::window::Window2d;
use super::workers::Workers;

/// Average pooling of planes. All arrays have the shape channels × plane.
#[derive(Clone, Debug)]
pub(crate) struct AvgPool2d {
    window: Window2d,
    /// Reciprocal number of averaged elements for each axis and output position; a window's weight is the product of
    /// both.
    weights: [Vec<f32>; 2],
    /// For each column of the window, the output columns at which it lies in the input, and its first position there.
    columns: Vec<(Range<usize>, usize)>,
}

/// A task: the means of a plane.
struct Mean<'a> {
    pool: &'a AvgPool2d,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Job for Mean<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let AvgPool2d { window, weights, columns } = self.pool;
        let [input_width, width] = [window.input[1], window.output[1]];
        for (y, row) in self.y.chunks_exact_mut(width).enumerate() {
            row.fill(0.0);
            // Each sum runs over its window's elements in order: row by row, column by column.
            for from in (0..window.kernel[0]).filter_map(|k| window.source(0, y, k)) {
                let from = &self.x[from * input_width..][..input_width];
                for (seen, start) in columns {
                    let sums = row[seen.clone()].iter_mut();
                    if window.stride[1] == 1 {
                        sums.zip(&from[*start..]).for_each(|(sum, &x)| *sum += x);
                    } else {
                        let elements = from[*start..].iter().step_by(window.stride[1]);
                        sums.zip(elements).for_each(|(sum, &x)| *sum += x);
                    }
                }
            }
            row.iter_mut().zip(&weights[1]).for_each(|(sum, weight)| *sum *= weights[0][y] * weight);
        }
    }
}

impl AvgPool2d {
    /// Creates a pooling. With `count_include_pad`, the mean includes the padding, up to `pad_end`; otherwise only
    /// elements of the input.
    pub(crate) fn new(window: Window2d, count_include_pad: bool) -> Self {
        let weights = [0, 1].map(|axis| {
            let size = window.input[axis] + window.pad_begin[axis] + window.pad_end[axis];
            let counts = |o: usize, k: usize| {
                let at = o * window.stride[axis] + k * window.dilation[axis];
                if count_include_pad { at < size } else { window.source(axis, o, k).is_some() }
            };
            let count = |o: usize| (0..window.kernel[axis]).filter(|&k| counts(o, k)).count();
            (0..window.output[axis]).map(|o| 1.0 / count(o).max(1) as f32).collect()
        });
        let column = |k: usize| {
            let first = (0..window.output[1]).find(|&x| window.source(1, x, k).is_some())?;
            let end = (first..window.output[1]).find(|&x| window.source(1, x, k).is_none());
            Some((first..end.unwrap_or(window.output[1]), window.source(1, first, k)?))
        };
        let columns = (0..window.kernel[1]).filter_map(column).collect();
        Self { window, weights, columns }
    }

    /// Computes `y`, the mean of each window.
    pub(crate) fn run(&self, x: &[f32], y: &mut [f32], workers: Workers) {
        let (area, out) = (self.window.input_area(), self.window.output_area());
        assert!(out == 0 || x.len() == y.len() / out * area, "an input or output of another size");
        workers.for_each_chunk(y, out, |plane, y| {
            Isa::best().run(Mean { pool: self, x: &x[plane * area..(plane + 1) * area], y });
        });
    }

    /// Computes `dx`: spreads each window's gradient evenly.
    pub(crate) fn grad(&self, dy: &[f32], dx: &mut [f32], workers: Workers) {
        let (area, out) = (self.window.input_area(), self.window.output_area());
        assert!(area == 0 || dy.len() == dx.len() / area * out, "an input or output of another size");
        workers.for_each_chunk(dx, area, |plane, dx| {
            let dy = &dy[plane * out..(plane + 1) * out];
            dx.fill(0.0);
            self.each_window(|o, weight, sources| {
                let share = dy[o] * weight;
                sources(&mut |at| dx[at] += share);
            });
        });
    }

    /// Calls `visit(output position, weight, walk over the input elements)` for every output position.
    #[inline]
    fn each_window(&self, mut visit: impl FnMut(usize, f32, &dyn Fn(&mut dyn FnMut(usize)))) {
        let window = &self.window;
        for y in 0..window.output[0] {
            for x in 0..window.output[1] {
                let weight = self.weights[0][y] * self.weights[1][x];
                visit(y * window.output[1] + x, weight, &|element: &mut dyn FnMut(usize)| {
                    for row in (0..window.kernel[0]).filter_map(|k| window.source(0, y, k)) {
                        for column in (0..window.kernel[1]).filter_map(|k| window.source(1, x, k)) {
                            element(row * window.input[1] + column);
                        }
                    }
                });
            }
        }
    }
}
