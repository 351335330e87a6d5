//! Max pooling with any window, row by row: first the maxima over the columns of a window's rows, then along the row.
//! Padding is −∞.

use std::ops::Range;

use super::elementwise::max;
use super::simd::{Isa, Job, Vector};
use super::window::Window2d;

/// Computes `y`, the maximum of each window; −∞ for a window of padding only.
pub(super) fn pool_plane(isa: Isa, window: &Window2d, x: &[f32], y: &mut [f32]) {
    assert_eq!((x.len(), y.len()), (window.input_area(), window.output_area()), "planes of another size");
    isa.run(Plane { window, x, y });
}

struct Plane<'a> {
    window: &'a Window2d,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Job for Plane<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Window2d { kernel, stride, dilation, pad_begin, input, output, .. } = *self.window;
        if self.y.is_empty() {
            return;
        }
        // Length for the last window, and for the vectors read there.
        let reach = output[1] * stride[1] + (kernel[1] - 1) * dilation[1] + 2 * V::LANES;
        let mut padded = vec![f32::NEG_INFINITY; reach.max(pad_begin[1] + input[1])];
        for (rows, y) in self.window.spans(0).into_iter().zip(self.y.chunks_mut(output[1])) {
            let row = &mut padded[pad_begin[1]..pad_begin[1] + input[1]];
            // SAFETY: the caller guarantees the instruction set; `padded` is long enough for any window.
            unsafe {
                down::<V>(self.x, rows, dilation[0], row);
                match stride[1] {
                    1 => along::<V>(&padded, self.window, y, |p, o| V::load(p.add(o))),
                    2 => along::<V>(&padded, self.window, y, |p, o| V::load_pairs(p.add(2 * o)).0),
                    _ => along_far(&padded, self.window, y),
                }
            }
        }
    }
}

/// Computes `row`, the maximum over some rows of x that are `step` apart.
///
/// # Safety
/// The processor must have the instruction set of `V`.
#[inline(always)]
unsafe fn down<V: Vector>(x: &[f32], rows: Range<usize>, step: usize, row: &mut [f32]) {
    let width = row.len();
    for at in (0..width).step_by(V::LANES) {
        let lanes = V::LANES.min(width - at);
        // SAFETY: the lanes lie in the row, and in each row of x.
        unsafe {
            let mut top = V::splat(f32::NEG_INFINITY);
            for source in rows.clone().step_by(step) {
                let source = &x[source * width..][..width];
                top = larger(top, V::load_lanes(source.as_ptr().add(at), 0, lanes));
            }
            top.store_lanes(row.as_mut_ptr().add(at), 0, lanes);
        }
    }
}

/// Computes `y[o]`, the maximum of the window at output position o; `load(p, o)` returns the elements at `p` for
/// positions o, o + 1, ….
///
/// # Safety
/// The processor must have the instruction set of `V`, and `load` must stay within the row.
#[inline(always)]
unsafe fn along<V: Vector>(
    row: &[f32],
    window: &Window2d,
    y: &mut [f32],
    load: impl Fn(*const f32, usize) -> V,
) {
    let count = y.len();
    for o in (0..count).step_by(V::LANES) {
        // SAFETY: the caller guarantees that `load` stays in bounds; the stored lanes lie in y.
        unsafe {
            let mut top = V::splat(f32::NEG_INFINITY);
            for k in 0..window.kernel[1] {
                top = larger(top, load(row.as_ptr().add(k * window.dilation[1]), o));
            }
            top.store_lanes(y.as_mut_ptr().add(o), 0, V::LANES.min(count - o));
        }
    }
}

/// Same as [`along`], for strides above 2.
fn along_far(row: &[f32], window: &Window2d, y: &mut [f32]) {
    for (o, y) in y.iter_mut().enumerate() {
        let seen = (0..window.kernel[1]).map(|k| row[o * window.stride[1] + k * window.dilation[1]]);
        *y = seen.fold(f32::NEG_INFINITY, max);
    }
}

#[inline(always)]
unsafe fn larger<V: Vector>(earlier: V, later: V) -> V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe { V::pick(later.beats(earlier), later, earlier) }
}
