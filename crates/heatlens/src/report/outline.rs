//! The outline of a mask as an SVG path: one stroke along each pixel border that separates inside from outside.

use std::fmt::Write as _;

use crate::localise::Mask;
use crate::render::fitted;
use crate::report::image_card::Outline;

/// Maximum length of an outline's longer side, equal to that of the image on the page.
pub(super) const OUTLINE_SIDE: usize = 288;

/// Returns the mask reduced to the size on the page by nearest-neighbour sampling; small masks are returned
/// unchanged.
pub(super) fn reduced(mask: &Mask) -> Mask {
    let Mask { height: h, width: w, inside } = mask;
    if (*h).max(*w) <= OUTLINE_SIDE {
        return mask.clone();
    }
    let [height, width] = fitted([*h, *w], OUTLINE_SIDE);
    let at = |i: usize, to: usize, from: usize| (2 * i + 1) * from / (2 * to);
    let nearest = |i: usize| inside.get(at(i / width, height, *h) * w + at(i % width, width, *w)).copied();
    Mask { height, width, inside: (0..height * width).map(|i| nearest(i).unwrap_or(false)).collect() }
}

/// Returns the outline of a mask, or `None` if the mask is empty.
pub(super) fn outline(mask: &Mask) -> Option<Outline> {
    let Mask { height: h, width: w, inside: mask } = mask;
    let (h, w) = (*h, *w);
    let inside = |y: usize, x: usize| y < h && x < w && mask.get(y * w + x).copied().unwrap_or(false);
    let mut path = String::new();
    // A border lies between a pixel and the one above it, or the one to its left.
    for y in 0..=h {
        let differs = |x: usize| inside(y, x) != (y > 0 && inside(y - 1, x));
        strokes(w, differs, |from, to| {
            let _ = write!(path, "M{from} {y}H{to}"); // writing to a String cannot fail
        });
    }
    for x in 0..=w {
        let differs = |y: usize| inside(y, x) != (x > 0 && inside(y, x - 1));
        strokes(h, differs, |from, to| {
            let _ = write!(path, "M{x} {from}V{to}");
        });
    }
    (!path.is_empty()).then_some(Outline { size: (w, h), path })
}

/// Calls `draw` with the start and end of each run of positions below `length` for which `on` is true.
fn strokes(length: usize, on: impl Fn(usize) -> bool, mut draw: impl FnMut(usize, usize)) {
    let mut start = None;
    for at in 0..=length {
        match (start, at < length && on(at)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                draw(from, at);
                start = None;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_mask_is_reduced_in_its_place() {
        let inside = (0..1000 * 2000).map(|i| i % 2000 >= 1000 && i / 2000 >= 500).collect();
        let small = reduced(&Mask { height: 1000, width: 2000, inside });
        assert_eq!((small.height, small.width), (144, 288));
        assert!((0..144 * 288).all(|i| small.inside[i] == (i % 288 >= 144 && i / 288 >= 72)));
        let tiny = Mask { height: 1, width: 2, inside: vec![true, false] };
        assert_eq!(reduced(&tiny), tiny);
    }

    #[test]
    fn a_block_has_four_sides() {
        let inside = vec![false, true, true, false, true, true];
        let drawn = outline(&Mask { height: 2, width: 3, inside }).unwrap();
        assert_eq!((drawn.size, drawn.path.as_str()), ((3, 2), "M1 0H3M1 2H3M1 0V2M3 0V2"));
        assert_eq!(outline(&Mask::empty(1, 2)), None);
    }
}
