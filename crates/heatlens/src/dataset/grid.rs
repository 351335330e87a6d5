//! A map on a coarse grid: what maps of any size have in common.

use std::ops::Range;

use crate::render::{Map, RenderError};

/// Rows and columns of the grid.
pub const SIDE: usize = 16;
/// Cells of the grid.
pub const CELLS: usize = SIDE * SIDE;
/// How many cells deep the border is.
const BORDER: usize = 2;
/// Pixels along a cell's side, where cells do not stand evenly.
const FINE: usize = 8;
/// Side of a corner in cells.
const CORNER: usize = 4;

/// Shares of heat, cell by cell; they sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid(Vec<f32>);

impl Grid {
    /// A map's heat, each cell the sum over the area it covers; `None` where there is no heat.
    #[must_use]
    pub fn of(heat: &Map) -> Option<Self> {
        let laid;
        let heat = if heat.placement().cells().is_none() {
            heat
        } else {
            laid = heat.resized(FINE * SIDE, FINE * SIDE);
            &laid
        };
        let (h, w) = (heat.height(), heat.width());
        let (rows, columns) = (overlaps(h), overlaps(w));
        let mut cells = vec![0.0_f64; CELLS];
        for (y, line) in heat.values().chunks_exact(w).enumerate() {
            for &(row, down) in &rows[y] {
                for (x, &value) in line.iter().enumerate() {
                    for &(column, over) in &columns[x] {
                        cells[row * SIDE + column] += f64::from(value) * down * over;
                    }
                }
            }
        }
        Self::normalised(&cells)
    }

    /// The mean of several grids; `None` if there are none.
    #[must_use]
    pub fn mean<'a>(grids: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut sums = vec![0.0; CELLS];
        for grid in grids {
            sums.iter_mut().zip(&grid.0).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        Self::normalised(&sums)
    }

    fn normalised(cells: &[f64]) -> Option<Self> {
        let total: f64 = cells.iter().sum();
        #[expect(clippy::cast_possible_truncation, reason = "shares from 0 to 1")]
        let share = |v: &f64| (v / total) as f32;
        (total > 0.0 && total.is_finite()).then(|| Self(cells.iter().map(share).collect()))
    }

    /// The cells, row after row.
    #[must_use]
    pub fn cells(&self) -> &[f32] {
        &self.0
    }

    /// The share of heat in the cells that `inside` (row, column) picks.
    #[must_use]
    pub fn share(&self, inside: impl Fn(usize, usize) -> bool) -> f64 {
        let picked = self.0.iter().enumerate().filter(|(i, _)| inside(i / SIDE, i % SIDE));
        picked.map(|(_, &v)| f64::from(v)).sum()
    }

    /// The share of heat in some rows and columns, which lie in the grid.
    #[must_use]
    pub fn rectangle(&self, rows: Range<usize>, columns: Range<usize>) -> f64 {
        let lines = self.0.chunks_exact(SIDE).take(rows.end).skip(rows.start);
        lines
            .flat_map(|line| &line[columns.start.min(SIDE)..columns.end.min(SIDE)])
            .map(|&v| f64::from(v))
            .sum()
    }

    /// As a map to be drawn.
    ///
    /// # Errors
    /// Never: the cells are finite and complete.
    pub fn to_map(&self) -> Result<Map, RenderError> {
        Map::new(SIDE, SIDE, self.0.clone())
    }
}

/// For each of `n` pixels the cells it lies in, with the part of the pixel in each.
fn overlaps(n: usize) -> Vec<Vec<(usize, f64)>> {
    let cell = n as f64 / SIDE as f64;
    let part = |pixel: usize, c: usize| {
        let (from, to) = (pixel as f64, pixel as f64 + 1.0);
        (to.min((c as f64 + 1.0) * cell) - from.max(c as f64 * cell)).max(0.0)
    };
    let cells = |pixel: usize| {
        let first = pixel * SIDE / n;
        let last = ((pixel + 1) * SIDE).div_ceil(n).min(SIDE);
        (first..last).map(|c| (c, part(pixel, c))).filter(|(_, p)| *p > 0.0).collect()
    };
    (0..n).map(cells).collect()
}

/// Whether a cell lies on the border of the image.
#[must_use]
pub fn on_border(row: usize, column: usize) -> bool {
    let edge = |at: usize| !(BORDER..SIDE - BORDER).contains(&at);
    edge(row) || edge(column)
}

/// Whether a cell lies in a corner of the image.
#[must_use]
pub fn in_corner(row: usize, column: usize) -> bool {
    let edge = |at: usize| !(CORNER..SIDE - CORNER).contains(&at);
    edge(row) && edge(column)
}

/// The share of the image that some cells cover: what evenly spread heat would have there.
#[must_use]
pub fn area(inside: impl Fn(usize, usize) -> bool) -> f64 {
    (0..CELLS).filter(|i| inside(i / SIDE, i % SIDE)).count() as f64 / CELLS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_is_neither_lost_nor_made() {
        for (h, w) in [(1, 1), (7, 5), (16, 16), (22, 22), (48, 31)] {
            let values: Vec<f32> = (0..h * w).map(|i| (i % 7) as f32 + 1.0).collect();
            let grid = Grid::of(&Map::new(h, w, values).unwrap()).unwrap();
            assert!((grid.cells().iter().sum::<f32>() - 1.0).abs() < 1e-5, "{h} {w}");
        }
        assert!(Grid::of(&Map::new(2, 2, vec![0.0; 4]).unwrap()).is_none());
    }

    #[test]
    fn heat_stays_where_it_is() {
        // A map of 2 × 2: each value fills a quarter of the grid.
        let grid = Grid::of(&Map::new(2, 2, vec![0.0, 3.0, 1.0, 0.0]).unwrap()).unwrap();
        assert!((grid.share(|row, column| row < 8 && column >= 8) - 0.75).abs() < 1e-6);
        assert!((grid.share(|row, column| row >= 8 && column < 8) - 0.25).abs() < 1e-6);
        // A hot pixel between two cells: 24 pixels on 16 cells, pixel 1 covers 2/3 of a cell and 1/3 of the next.
        let mut values = vec![0.0; 24];
        values[1] = 1.0;
        let grid = Grid::of(&Map::new(1, 24, values).unwrap()).unwrap();
        assert!((grid.share(|_, column| column == 0) - 0.5).abs() < 1e-6);
        assert!((grid.share(|_, column| column == 1) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn evenly_spread_heat_has_the_share_of_the_area() {
        let even = Grid::of(&Map::new(5, 5, vec![1.0; 25]).unwrap()).unwrap();
        assert!((even.share(on_border) - area(on_border)).abs() < 1e-6);
        assert!((area(on_border) - (1.0 - 144.0 / 256.0)).abs() < 1e-12);
        assert!((area(in_corner) - 0.25).abs() < 1e-12);
    }
}
