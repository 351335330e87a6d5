//! 2×2 max pooling with stride 2 and without padding: same results as the general kernel, but a vector of windows at a
//! time. Output rows are at least one vector wide; the last vector of a row is shifted back to end with the row and
//! recomputes some results.

use super::simd::{Isa, Job, Vector};
use super::window::Window2d;

/// Pools one plane.
pub(super) fn pool_plane(isa: Isa, window: &Window2d, x: &[f32], y: &mut [f32]) {
    check(isa, window, x, y);
    isa.run(Pool { window, x, y });
}

/// Computes the gradient for one plane.
pub(super) fn grad_plane(isa: Isa, window: &Window2d, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    check(isa, window, x, dy);
    assert_eq!(x.len(), dx.len(), "a gradient of another size");
    isa.run(Grad { window, x, dy, dx });
}

fn check(isa: Isa, window: &Window2d, x: &[f32], y: &[f32]) {
    let Window2d { input, output, .. } = *window;
    assert!(output[1] >= isa.lanes(), "rows are narrower than a vector");
    assert!(output[0] * 2 <= input[0] && output[1] * 2 <= input[1], "windows hang over the edge");
    assert_eq!((x.len(), y.len()), (window.input_area(), window.output_area()), "planes of another size");
}

/// Calls `visit(first window of a vector, first element of its upper row)` until all windows are covered.
#[inline(always)]
fn each_vector(window: &Window2d, lanes: usize, mut visit: impl FnMut(usize, usize)) {
    let [rows, columns] = window.output;
    for row in 0..rows {
        for first in (0..columns).step_by(lanes) {
            let column = first.min(columns - lanes);
            visit(row * columns + column, 2 * (row * window.input[1] + column));
        }
    }
}

struct Pool<'a> {
    window: &'a Window2d,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Job for Pool<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (x, y, width) = (self.x.as_ptr(), self.y.as_mut_ptr(), self.window.input[1]);
        each_vector(self.window, V::LANES, |window, at| {
            // SAFETY: `check` ensures that a vector of windows starting at `window` lies in y, and its two rows in x.
            unsafe {
                let (a, b) = V::load_pairs(x.add(at));
                let (c, d) = V::load_pairs(x.add(at + width));
                let (above, below) = (V::pick(b.beats(a), b, a), V::pick(d.beats(c), d, c));
                V::pick(below.beats(above), below, above).store(y.add(window));
            }
        });
    }
}

struct Grad<'a> {
    window: &'a Window2d,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Job for Grad<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Window2d { input: [_, width], output: [rows, columns], .. } = *self.window;
        // Elements outside all windows: an odd last column, an odd last row.
        let (seen, unseen) = self.dx.split_at_mut(2 * rows * width);
        unseen.fill(0.0);
        if 2 * columns < width {
            seen.chunks_exact_mut(width).for_each(|row| row[2 * columns..].fill(0.0));
        }
        let (x, dy, dx) = (self.x.as_ptr(), self.dy.as_ptr(), seen.as_mut_ptr());
        each_vector(self.window, V::LANES, |window, at| {
            // SAFETY: as in `Pool`; dx is as long as x.
            unsafe {
                let (a, b) = V::load_pairs(x.add(at));
                let (c, d) = V::load_pairs(x.add(at + width));
                let (right_above, right_below) = (b.beats(a), d.beats(c));
                let is_below = V::pick(right_below, d, c).beats(V::pick(right_above, b, a));
                let (zero, dy) = (V::splat(0.0), V::load(dy.add(window)));
                let (above, below) = (V::pick(is_below, zero, dy), V::pick(is_below, dy, zero));
                let left_and_right = |right, g| (V::pick(right, zero, g), V::pick(right, g, zero));
                let (left, right) = left_and_right(right_above, above);
                left.store_pairs(right, dx.add(at));
                let (left, right) = left_and_right(right_below, below);
                left.store_pairs(right, dx.add(at + width));
            }
        });
    }
}
