//! Masks: connected components, bounding boxes, overlap.

use std::fmt;
use std::str::FromStr;

use crate::nearest::{Named, name_of, named};

/// A binary mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
    /// Pixels in row-major order, true inside the mask.
    pub inside: Vec<bool>,
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelBox {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

/// Selection of the connected components of a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Components {
    /// The component with the most pixels.
    #[default]
    Largest,
    /// All components, separately.
    All,
}

impl FromStr for Components {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(word, Self::ALL)
    }
}

impl Components {
    /// Both selections, with their names on the command line.
    pub const ALL: [Named<Self>; 2] =
        [("largest", "The largest one", Self::Largest), ("all", "All of them", Self::All)];
}

impl fmt::Display for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(self, &Self::ALL))
    }
}

impl Mask {
    /// Creates a mask of `height` × `width`; `None` if `inside` has a different number of pixels.
    #[must_use]
    pub fn new(height: usize, width: usize, inside: Vec<bool>) -> Option<Self> {
        (height.checked_mul(width) == Some(inside.len())).then_some(Self { height, width, inside })
    }

    /// Creates an empty mask.
    #[must_use]
    pub fn empty(height: usize, width: usize) -> Self {
        Self { height, width, inside: vec![false; height * width] }
    }

    /// Returns the number of pixels inside.
    #[must_use]
    pub fn area(&self) -> usize {
        self.inside.iter().filter(|i| **i).count()
    }

    /// Returns the bounding box; `None` if the mask is empty.
    #[must_use]
    pub fn bounds(&self) -> Option<PixelBox> {
        let (mut low, mut high) = ([usize::MAX; 2], [0; 2]);
        for (at, _) in self.inside.iter().enumerate().filter(|(_, i)| **i) {
            for (axis, position) in [at / self.width, at % self.width].into_iter().enumerate() {
                low[axis] = low[axis].min(position);
                high[axis] = high[axis].max(position);
            }
        }
        let [y, x] = low;
        (y <= high[0]).then(|| PixelBox { x, y, width: high[1] - x + 1, height: high[0] - y + 1 })
    }

    /// Returns up to `most` 8-connected components, the largest first; ties from the top down.
    #[must_use]
    pub fn components(&self, most: usize) -> Vec<Self> {
        let mut left = self.inside.clone();
        let mut parts = Vec::new();
        for start in 0..left.len() {
            if left[start] {
                parts.push(self.part(start, &mut left));
            }
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        let mask = |part: Vec<usize>| {
            let mut mask = Self::empty(self.height, self.width);
            part.into_iter().for_each(|at| mask.inside[at] = true);
            mask
        };
        parts.into_iter().take(most).map(mask).collect()
    }

    /// Removes the component around `start` from `left` and returns its pixels.
    fn part(&self, start: usize, left: &mut [bool]) -> Vec<usize> {
        let mut part = vec![start];
        left[start] = false;
        let mut next = 0;
        while let Some(&at) = part.get(next) {
            next += 1;
            let (y, x) = (at / self.width, at % self.width);
            for row in y.saturating_sub(1)..(y + 2).min(self.height) {
                for column in x.saturating_sub(1)..(x + 2).min(self.width) {
                    let neighbour = row * self.width + column;
                    if std::mem::take(&mut left[neighbour]) {
                        part.push(neighbour);
                    }
                }
            }
        }
        part
    }

    /// Adds the pixels of another mask of the same size.
    pub fn add(&mut self, other: &Self) {
        self.inside.iter_mut().zip(&other.inside).for_each(|(a, b)| *a |= b);
    }

    /// Returns the intersection over union (Jaccard 1912); `None` if both masks are empty or their sizes differ.
    #[must_use]
    pub fn iou(&self, other: &Self) -> Option<f64> {
        if (self.height, self.width) != (other.height, other.width) {
            return None;
        }
        let pairs = || self.inside.iter().zip(&other.inside);
        let both = pairs().filter(|(a, b)| **a && **b).count();
        let either = pairs().filter(|(a, b)| **a || **b).count();
        (either > 0).then(|| both as f64 / either as f64)
    }
}

impl PixelBox {
    /// Returns the box as a mask for an image of this size.
    #[must_use]
    pub fn filled(&self, height: usize, width: usize) -> Mask {
        let rows = self.y..self.y.saturating_add(self.height);
        let columns = self.x..self.x.saturating_add(self.width);
        let inside = |i: usize| rows.contains(&(i / width)) && columns.contains(&(i % width));
        Mask { height, width, inside: (0..height * width).map(inside).collect() }
    }

    /// Returns the number of pixels inside.
    #[must_use]
    pub fn area(&self) -> usize {
        self.width * self.height
    }

    /// Returns the intersection over union.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f64 {
        let overlap = |a: usize, a_length: usize, b: usize, b_length: usize| {
            (a + a_length).min(b + b_length).saturating_sub(a.max(b))
        };
        let both = overlap(self.x, self.width, other.x, other.width)
            * overlap(self.y, self.height, other.y, other.height);
        both as f64 / (self.area() + other.area() - both).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `#` is inside.
    fn mask(rows: &[&str]) -> Mask {
        let inside = rows.iter().flat_map(|row| row.bytes().map(|b| b == b'#')).collect();
        Mask::new(rows.len(), rows[0].len(), inside).unwrap()
    }

    #[test]
    fn boxes_touch_their_pixels() {
        let bounds = mask(&["....", ".##.", "..#."]).bounds();
        assert_eq!(bounds, Some(PixelBox { x: 1, y: 1, width: 2, height: 2 }));
        assert_eq!(Mask::empty(2, 3).bounds(), None);
        assert_eq!(mask(&["#"]).bounds().unwrap().area(), 1);
        assert!(Mask::new(2, 2, vec![true; 3]).is_none());
    }

    #[test]
    fn corners_touch_and_gaps_do_not() {
        let parts = mask(&["#..##", ".#.##", "....."]).components(9);
        assert_eq!(parts, [mask(&["...##", "...##", "....."]), mask(&["#....", ".#...", "....."])]);
        assert!(Mask::empty(3, 3).components(9).is_empty());
        // A long winding component that would overflow a recursive search.
        let rows: Vec<String> = (0..301)
            .map(|y| if y % 2 == 0 { "#".repeat(300) } else { format!("{}#", ".".repeat(299)) })
            .collect();
        assert_eq!(mask(&rows.iter().map(String::as_str).collect::<Vec<_>>()).components(9).len(), 1);
    }

    #[test]
    fn overlap_by_hand() {
        let (a, b) = (mask(&["##..", "##.."]), mask(&[".##.", ".##."]));
        assert_eq!(a.iou(&b), Some(2.0 / 6.0));
        assert_eq!(a.iou(&a), Some(1.0));
        assert_eq!(a.iou(&Mask::empty(2, 4)), Some(0.0));
        assert_eq!(Mask::empty(2, 4).iou(&Mask::empty(2, 4)), None);
        assert_eq!(a.iou(&Mask::empty(4, 2)), None);
        let (p, q) =
            (PixelBox { x: 0, y: 0, width: 4, height: 2 }, PixelBox { x: 2, y: 1, width: 4, height: 2 });
        assert!((p.iou(&q) - 2.0 / 14.0).abs() < 1e-12);
        assert_eq!(p.iou(&PixelBox { x: 4, y: 0, width: 1, height: 1 }), 0.0);
    }
}
