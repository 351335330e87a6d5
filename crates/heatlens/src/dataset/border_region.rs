//! Regions at the border of an image where something could give a class away: a mark in a corner or at an edge, a
//! ruler along a side.

use std::fmt;
use std::ops::Range;

use crate::dataset::heat_grid::{HeatGrid, SIDE};

/// Side of a window in cells: a quarter of the image's side.
const WINDOW: usize = 4;
/// Last row or column at which a window can begin.
const LAST: usize = SIDE - WINDOW;
/// Maximum distance in cells between a window and an edge.
const REACH: usize = 1;
/// Depth of a strip along an edge, in cells.
const STRIP: usize = 3;

/// A region at the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BorderRegion {
    /// A square with a quarter of the image's sides, given by its first row and column.
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
    /// The top edge.
    Top,
    /// The bottom edge.
    Bottom,
    /// The left edge.
    Left,
    /// The right edge.
    Right,
}

impl Edge {
    const ALL: [Self; 4] = [Self::Top, Self::Bottom, Self::Left, Self::Right];
}

impl BorderRegion {
    /// Returns every window at an edge, and the four strips.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let outer = |at: usize| at <= REACH || at >= LAST - REACH;
        let windows = (0..=LAST).flat_map(|row| (0..=LAST).map(move |column| (row, column)));
        let windows = windows.filter(|&(row, column)| outer(row) || outer(column));
        windows.map(|(row, column)| Self::Window { row, column }).chain(Edge::ALL.map(Self::Strip)).collect()
    }

    /// Returns the images of this region under reflections and quarter turns, itself first. If no side of the image
    /// were special, an object would be equally likely in each of them.
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

    /// Returns this region and those up to two cells away: heat may lie beside what causes it.
    #[must_use]
    pub fn neighbours(self) -> Vec<Self> {
        let Self::Window { row, column } = self else { return vec![self] };
        let around = |at: usize| [at, at.saturating_sub(2), (at + 2).min(LAST)];
        let mut found = Vec::new();
        for window in
            around(row).into_iter().flat_map(|row| around(column).map(|column| Self::Window { row, column }))
        {
            if !found.contains(&window) {
                found.push(window);
            }
        }
        found
    }

    /// Returns the share of an image's heat in this region.
    #[must_use]
    pub fn share(self, grid: &HeatGrid) -> f64 {
        let (rows, columns) = self.extent();
        grid.rectangle(rows, columns)
    }

    /// Returns true if the region is hot: its share of the heat is at least the square root of its share of the
    /// area.
    #[must_use]
    pub fn is_hot(self, grid: &HeatGrid) -> bool {
        let [_, _, height, width] = self.rectangle();
        self.share(grid) >= (height * width).sqrt()
    }

    /// Returns the rows and the columns of the region.
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

    /// Returns first row, first column, height and width as shares of the image's sides.
    #[must_use]
    pub fn rectangle(self) -> [f64; 4] {
        let (rows, columns) = self.extent();
        [rows.start, columns.start, rows.len(), columns.len()].map(|cells| cells as f64 / SIDE as f64)
    }
}

impl fmt::Display for BorderRegion {
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
        let all = BorderRegion::all();
        assert_eq!(all.len(), 13 * 13 - 9 * 9 + 4);
        for place in &all {
            let others = place.equivalents();
            assert!(matches!(others.len(), 4 | 8), "{place:?}");
            for other in &others {
                assert!(all.contains(other), "{place:?} {other:?}");
                assert!(other.equivalents().iter().all(|p| others.contains(p)));
            }
        }
        let corner = BorderRegion::Window { row: 0, column: 0 };
        assert_eq!((corner.equivalents().len(), corner.to_string().as_str()), (4, "the top left corner"));
    }

    #[test]
    fn neighbours_stay_within_the_image() {
        let corner = BorderRegion::Window { row: 1, column: 0 }.neighbours();
        assert_eq!(corner[0], BorderRegion::Window { row: 1, column: 0 });
        assert_eq!(corner.len(), 6);
        assert!(corner.contains(&BorderRegion::Window { row: 0, column: 2 }));
        assert_eq!(BorderRegion::Strip(Edge::Top).neighbours(), [BorderRegion::Strip(Edge::Top)]);
    }

    #[test]
    fn places_lie_within_the_image_and_hold_their_heat() {
        let even = HeatGrid::of(&Map::new(1, 1, vec![1.0]).unwrap()).unwrap();
        for place in BorderRegion::all() {
            let [top, left, height, width] = place.rectangle();
            assert!(top + height <= 1.0 && left + width <= 1.0, "{place:?}");
            assert!((place.share(&even) - height * width).abs() < 1e-6, "{place:?}");
        }
        // Heat in one cell of the top row lies in the top strip and in no other.
        let mut values = vec![0.0; SIDE * SIDE];
        values[9] = 1.0;
        let spot = HeatGrid::of(&Map::new(SIDE, SIDE, values).unwrap()).unwrap();
        let shares = Edge::ALL.map(|edge| BorderRegion::Strip(edge).share(&spot));
        assert_eq!(shares, [1.0, 0.0, 0.0, 0.0]);
    }
}
