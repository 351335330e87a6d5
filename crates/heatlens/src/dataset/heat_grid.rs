//! A map on a coarse grid, comparable across maps of any size.

use std::ops::Range;

use crate::render::{Map, RenderError};

/// Number of rows and of columns.
pub const SIDE: usize = 16;
/// Number of cells.
pub const CELLS: usize = SIDE * SIDE;
/// Width of the border in cells.
const BORDER: usize = 2;
/// Pixels per cell side to which unevenly placed maps are upsampled.
const FINE: usize = 8;
/// Side of a corner region in cells.
const CORNER: usize = 4;

/// Share of the heat in each cell; the shares sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatGrid(Vec<f32>);

impl HeatGrid {
    /// Sums a map's heat over the area of each cell; `None` if the map has no heat.
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

    /// Returns the mean of several grids; `None` if there are no grids.
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

    /// Returns the cells in row-major order.
    #[must_use]
    pub fn cells(&self) -> &[f32] {
        &self.0
    }

    /// Returns the share of the heat in the cells for which `inside(row, column)` is true.
    #[must_use]
    pub fn share(&self, inside: impl Fn(usize, usize) -> bool) -> f64 {
        let picked = self.0.iter().enumerate().filter(|(i, _)| inside(i / SIDE, i % SIDE));
        picked.map(|(_, &v)| f64::from(v)).sum()
    }

    /// Returns the share of the heat in a rectangle of cells.
    #[must_use]
    pub fn rectangle(&self, rows: Range<usize>, columns: Range<usize>) -> f64 {
        let lines = self.0.chunks_exact(SIDE).take(rows.end).skip(rows.start);
        lines
            .flat_map(|line| &line[columns.start.min(SIDE)..columns.end.min(SIDE)])
            .map(|&v| f64::from(v))
            .sum()
    }

    /// Converts the grid to a map for drawing.
    ///
    /// # Errors
    /// Never: the cells are finite and complete.
    pub fn to_map(&self) -> Result<Map, RenderError> {
        Map::new(SIDE, SIDE, self.0.clone())
    }
}

/// Returns, for each of `n` pixels, the cells it overlaps and the part of the pixel in each.
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

/// Returns true if the cell lies on the border of the image.
#[must_use]
pub fn on_border(row: usize, column: usize) -> bool {
    let edge = |at: usize| !(BORDER..SIDE - BORDER).contains(&at);
    edge(row) || edge(column)
}

/// Returns true if the cell lies in a corner of the image.
#[must_use]
pub fn in_corner(row: usize, column: usize) -> bool {
    let edge = |at: usize| !(CORNER..SIDE - CORNER).contains(&at);
    edge(row) && edge(column)
}

/// Returns the share of the image that the selected cells cover, which is the share uniform heat would have there.
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
            let grid = HeatGrid::of(&Map::new(h, w, values).unwrap()).unwrap();
            assert!((grid.cells().iter().sum::<f32>() - 1.0).abs() < 1e-5, "{h} {w}");
        }
        assert!(HeatGrid::of(&Map::new(2, 2, vec![0.0; 4]).unwrap()).is_none());
    }

    #[test]
    fn heat_stays_where_it_is() {
        // Each value of a 2 × 2 map fills a quarter of the grid.
        let grid = HeatGrid::of(&Map::new(2, 2, vec![0.0, 3.0, 1.0, 0.0]).unwrap()).unwrap();
        assert!((grid.share(|row, column| row < 8 && column >= 8) - 0.75).abs() < 1e-6);
        assert!((grid.share(|row, column| row >= 8 && column < 8) - 0.25).abs() < 1e-6);
        // A hot pixel between two cells: of 24 pixels on 16 cells, pixel 1 lies half in cell 0 and half in cell 1.
        let mut values = vec![0.0; 24];
        values[1] = 1.0;
        let grid = HeatGrid::of(&Map::new(1, 24, values).unwrap()).unwrap();
        assert!((grid.share(|_, column| column == 0) - 0.5).abs() < 1e-6);
        assert!((grid.share(|_, column| column == 1) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn evenly_spread_heat_has_the_share_of_the_area() {
        let even = HeatGrid::of(&Map::new(5, 5, vec![1.0; 25]).unwrap()).unwrap();
        assert!((even.share(on_border) - area(on_border)).abs() < 1e-6);
        assert!((area(on_border) - (1.0 - 144.0 / 256.0)).abs() < 1e-12);
        assert!((area(in_corner) - 0.25).abs() < 1e-12);
    }
}
