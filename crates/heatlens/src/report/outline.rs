//! The outline of a mask as a path: one stroke along each border of a pixel that parts inside from outside.

use std::fmt::Write as _;

use crate::render::fitted;
use crate::report::card::Outline;

/// The longer side of an outline in the page, at most: as fine as the image there.
const OUTLINE_SIDE: usize = 288;

/// A large mask at the size that the page shows: the nearest pixels.
pub(super) fn reduced((h, w, mask): &(usize, usize, Vec<bool>)) -> (usize, usize, Vec<bool>) {
    if (*h).max(*w) <= OUTLINE_SIDE {
        return (*h, *w, mask.clone());
    }
    let [rows, columns] = fitted([*h, *w], OUTLINE_SIDE);
    let at = |i: usize, to: usize, from: usize| (2 * i + 1) * from / (2 * to);
    let inside = |i: usize| mask.get(at(i / columns, rows, *h) * w + at(i % columns, columns, *w)).copied();
    (rows, columns, (0..rows * columns).map(|i| inside(i).unwrap_or(false)).collect())
}

/// The path of a mask's outline; `None` for an empty mask.
pub(super) fn outline((h, w, mask): &(usize, usize, Vec<bool>)) -> Option<Outline> {
    let (h, w) = (*h, *w);
    let inside = |y: usize, x: usize| y < h && x < w && mask.get(y * w + x).copied().unwrap_or(false);
    let mut path = String::new();
    // A border lies between a place and the one above it, or the one left of it.
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

/// Runs of neighbouring positions below `length` at which `on` holds.
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
        let mask = (0..1000 * 2000).map(|i| i % 2000 >= 1000 && i / 2000 >= 500).collect();
        let (h, w, small) = reduced(&(1000, 2000, mask));
        assert_eq!((h, w), (144, 288));
        assert!((0..144 * 288).all(|i| small[i] == (i % 288 >= 144 && i / 288 >= 72)));
        assert_eq!(reduced(&(1, 2, vec![true, false])), (1, 2, vec![true, false]));
    }

    #[test]
    fn a_block_has_four_sides() {
        let mask = vec![false, true, true, false, true, true];
        let drawn = outline(&(2, 3, mask)).unwrap();
        assert_eq!((drawn.size, drawn.path.as_str()), ((3, 2), "M1 0H3M1 2H3M1 0V2M3 0V2"));
        assert_eq!(outline(&(1, 2, vec![false; 2])), None);
    }
}
