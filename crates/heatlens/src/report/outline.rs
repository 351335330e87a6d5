//! The outline of a mask as a path: one stroke along each border of a pixel that parts inside from outside.

use std::fmt::Write as _;

use crate::report::card::Outline;

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
    fn a_block_has_four_sides() {
        let mask = vec![false, true, true, false, true, true];
        let drawn = outline(&(2, 3, mask)).unwrap();
        assert_eq!((drawn.size, drawn.path.as_str()), ((3, 2), "M1 0H3M1 2H3M1 0V2M3 0V2"));
        assert_eq!(outline(&(1, 2, vec![false; 2])), None);
    }
}
