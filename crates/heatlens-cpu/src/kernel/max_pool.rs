//! Max pooling, its gradient, and the selection that is the transpose of its gradient.
//!
//! As in PyTorch, a tie is resolved in favour of the first element in row-major order, and the maximum of a window that
//! contains NaN is NaN. Padding is ignored. The position of the maximum is recomputed from x when needed, which is
//! cheaper than storing it.

use super::max_pool_2x2;
use super::max_pool_rows;
use super::simd::Isa;
use super::window::Window2d;
use super::workers::Workers;

/// Max pooling of planes. All arrays have the shape channels × plane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxPool2d {
    window: Window2d,
    isa: Isa,
}

impl MaxPool2d {
    /// Prepares a pooling; rows that do not fill a vector use narrower ones, with the same results.
    pub(crate) fn new(window: Window2d, isa: Isa) -> Self {
        let mut narrower = Isa::available().skip_while(|&best| best != isa);
        let isa = narrower.find(|isa| isa.lanes() <= window.output[1]).unwrap_or(isa);
        Self { window, isa }
    }

    /// True if windows are 2×2, adjacent, inside the input, and a row of them fills a vector.
    fn is_2x2(&self) -> bool {
        let Window2d { kernel, stride, dilation, pad_begin, input, output, .. } = self.window;
        (kernel, stride, dilation, pad_begin) == ([2, 2], [2, 2], [1, 1], [0, 0])
            && output[0] * 2 <= input[0]
            && output[1] * 2 <= input[1]
            && output[1] >= self.isa.lanes()
    }

    /// Computes `y`, the maximum of each window; −∞ for a window of padding only.
    pub(crate) fn run(&self, x: &[f32], y: &mut [f32], workers: Workers) {
        self.each_plane(x, y, workers, |x, y| {
            if self.is_2x2() {
                max_pool_2x2::pool_plane(self.isa, &self.window, x, y);
            } else {
                max_pool_rows::pool_plane(self.isa, &self.window, x, y);
            }
        });
    }

    /// Computes `y = v` at the position of each window's maximum in x; 0 for a window of padding only.
    pub(crate) fn select(&self, x: &[f32], v: &[f32], y: &mut [f32], workers: Workers) {
        assert_eq!(v.len(), x.len(), "values of another shape");
        let area = self.window.input_area();
        self.each_plane_at(x, y, workers, |plane, x, y| {
            let v = &v[plane * area..(plane + 1) * area];
            self.each_window(x, |o, top| y[o] = top.map_or(0.0, |at| v[at]));
        });
    }

    /// Computes `dx`: dy at the position of each window's maximum, summed over overlapping windows, 0 elsewhere.
    pub(crate) fn grad(&self, x: &[f32], dy: &[f32], dx: &mut [f32], workers: Workers) {
        let (area, out) = (self.window.input_area(), self.window.output_area());
        assert_eq!(x.len(), dx.len(), "a gradient of another size");
        assert!(area == 0 || dy.len() == x.len() / area * out, "an output gradient of another size");
        workers.for_each_chunk(dx, area, |plane, dx| {
            let (x, dy) = (&x[plane * area..(plane + 1) * area], &dy[plane * out..(plane + 1) * out]);
            if self.is_2x2() {
                max_pool_2x2::grad_plane(self.isa, &self.window, x, dy, dx);
                return;
            }
            dx.fill(0.0);
            self.each_window(x, |o, top| {
                if let Some(at) = top {
                    dx[at] += dy[o];
                }
            });
        });
    }

    fn each_plane(
        &self,
        x: &[f32],
        y: &mut [f32],
        workers: Workers,
        task: impl Fn(&[f32], &mut [f32]) + Sync,
    ) {
        self.each_plane_at(x, y, workers, |_, x, y| task(x, y));
    }

    fn each_plane_at(
        &self,
        x: &[f32],
        y: &mut [f32],
        workers: Workers,
        task: impl Fn(usize, &[f32], &mut [f32]) + Sync,
    ) {
        let (area, out) = (self.window.input_area(), self.window.output_area());
        assert!(out == 0 || x.len() == y.len() / out * area, "an input or output of another size");
        workers.for_each_chunk(y, out, |plane, y| task(plane, &x[plane * area..(plane + 1) * area], y));
    }

    /// Calls `visit(output position, position of the maximum)` for every output position.
    #[inline]
    fn each_window(&self, x: &[f32], mut visit: impl FnMut(usize, Option<usize>)) {
        let Window2d { dilation, input, output, .. } = self.window;
        let [rows, columns] = [0, 1].map(|axis| self.window.spans(axis));
        for (y, rows) in rows.iter().enumerate() {
            for (o, columns) in columns.iter().enumerate() {
                let mut top: Option<usize> = None;
                for row in rows.clone().step_by(dilation[0]) {
                    for column in columns.clone().step_by(dilation[1]) {
                        let at = row * input[1] + column;
                        if top.is_none_or(|top| beats(x[at], x[top])) {
                            top = Some(at);
                        }
                    }
                }
                visit(y * output[1] + o, top);
            }
        }
    }
}

/// True if a later element replaces an earlier one as the maximum.
fn beats(later: f32, earlier: f32) -> bool {
    later > earlier || (later.is_nan() && !earlier.is_nan())
}
