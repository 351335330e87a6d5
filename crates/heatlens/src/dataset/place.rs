//! Places on the border of an image where something could give a class away: a mark in a corner or at an edge, a ruler
//! along a side.

use std::fmt;
use std::ops::Range;

use crate::dataset::grid::{Grid, SIDE};

/// Side of a window in cells: a quarter of the image's.
const WINDOW: usize = 4;
/// The last row or column at which a window begins.
const LAST: usize = SIDE - WINDOW;
/// A window begins or ends at most so many cells from an edge.
const REACH: usize = 1;
/// Depth of a strip along an edge.
const STRIP: usize = 3;

/// One place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A square of a quarter of the image's sides, by its first row and column.
    Window {
        /// First row.
        row: usize,
        /// First column.
        column: usize,
    },
    /// A strip along a whole edge.
    Strip(Edge),
}

/// An edge of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Above.
    Top,
    /// Below.
    Bottom,
    /// On the left.
    Left,
    /// On the right.
    Right,
}

impl Edge {
    const ALL: [Self; 4] = [Self::Top, Self::Bottom, Self::Left, Self::Right];
}

impl Place {
    /// Every window that lies at an edge, and the four strips.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let outer = |at: usize| at <= REACH || at >= LAST - REACH;
        let windows = (0..=LAST).flat_map(|row| (0..=LAST).map(move |column| (row, column)));
        let windows = windows.filter(|&(row, column)| outer(row) || outer(column));
        windows.map(|(row, column)| Self::Window { row, column }).chain(Edge::ALL.map(Self::Strip)).collect()
    }

    /// The places that the image's mirrorings and quarter turns make of this one, itself first: where the same thing
    /// could be just as well if no side of the image were special.
    #[must_use]
    pub fn equivalents(self) -> Vec<Self> {
        let mut found = vec![self];
        match self {
            Self::Window { row, column } => {
                let (up, left) = (LAST - row, LAST - column);
                for (row, column) in [
                    (row, left),
                    (up, column),
                    (up, left),
                    (column, row),
                    (column, up),
                    (left, row),
                    (left, up),
                ] {
                    let place = Self::Window { row, column };
                    if !found.contains(&place) {
                        found.push(place);
                    }
                }
            }
            Self::Strip(edge) => found.extend(Edge::ALL.into_iter().filter(|e| *e != edge).map(Self::Strip)),
        }
        found
    }

    /// The share of an image's heat that lies here.
    #[must_use]
    pub fn share(self, grid: &Grid) -> f64 {
        let (rows, columns) = self.extent();
        grid.rectangle(rows, columns)
    }

    /// Whether an image is hot here: its share of heat is at least the square root of the share of the area.
    #[must_use]
    pub fn is_hot(self, grid: &Grid) -> bool {
        let [_, _, height, width] = self.rectangle();
        self.share(grid) >= (height * width).sqrt()
    }

    /// Its rows and its columns.
    #[must_use]
    pub fn extent(self) -> (Range<usize>, Range<usize>) {
        let far = SIDE - STRIP;
        match self {
            Self::Window { row, column } => (row..row + WINDOW, column..column + WINDOW),
            Self::Strip(Edge::Top) => (0..STRIP, 0..SIDE),
            Self::Strip(Edge::Bottom) => (far..SIDE, 0..SIDE),
            Self::Strip(Edge::Left) => (0..SIDE, 0..STRIP),
            Self::Strip(Edge::Right) => (0..SIDE, far..SIDE),
        }
    }

    /// First row, first column, rows and columns, as shares of the image's sides.
    #[must_use]
    pub fn rectangle(self) -> [f64; 4] {
        let (rows, columns) = self.extent();
        [rows.start, columns.start, rows.len(), columns.len()].map(|cells| cells as f64 / SIDE as f64)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let third = |at: usize| at * 3 / (LAST + 1);
        f.write_str(match self {
            Self::Window { row, column } => match (third(*row), third(*column)) {
                (0, 0) => "the top left corner",
                (0, 1) => "the middle of the top edge",
                (0, _) => "the top right corner",
                (1, 0) => "the middle of the left edge",
                (1, 1) => "the middle",
                (1, _) => "the middle of the right edge",
                (_, 0) => "the bottom left corner",
                (_, 1) => "the middle of the bottom edge",
                _ => "the bottom right corner",
            },
            Self::Strip(Edge::Top) => "a strip along the top edge",
            Self::Strip(Edge::Bottom) => "a strip along the bottom edge",
            Self::Strip(Edge::Left) => "a strip along the left edge",
            Self::Strip(Edge::Right) => "a strip along the right edge",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Map;

    #[test]
    fn equivalents_are_a_group_of_places_at_the_edge() {
        let all = Place::all();
        assert_eq!(all.len(), 13 * 13 - 9 * 9 + 4);
        for place in &all {
            let others = place.equivalents();
            assert!(matches!(others.len(), 4 | 8), "{place:?}");
            for other in &others {
                assert!(all.contains(other), "{place:?} {other:?}");
                assert!(other.equivalents().iter().all(|p| others.contains(p)));
            }
        }
        let corner = Place::Window { row: 0, column: 0 };
        assert_eq!((corner.equivalents().len(), corner.to_string().as_str()), (4, "the top left corner"));
    }

    #[test]
    fn places_lie_within_the_image_and_hold_their_heat() {
        let even = Grid::of(&Map::new(1, 1, vec![1.0]).unwrap()).unwrap();
        for place in Place::all() {
            let [top, left, height, width] = place.rectangle();
            assert!(top + height <= 1.0 && left + width <= 1.0, "{place:?}");
            assert!((place.share(&even) - height * width).abs() < 1e-6, "{place:?}");
        }
        // Heat in one cell of the top row: in the strip above, in no other.
        let mut values = vec![0.0; SIDE * SIDE];
        values[9] = 1.0;
        let spot = Grid::of(&Map::new(SIDE, SIDE, values).unwrap()).unwrap();
        let shares = Edge::ALL.map(|edge| Place::Strip(edge).share(&spot));
        assert_eq!(shares, [1.0, 0.0, 0.0, 0.0]);
    }
}
