//! Placement of a map on its image.

use std::str::FromStr;

use super::Cells;
use crate::nearest::{Named, name_of, named};

/// Method of placing layer maps over the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placing {
    /// Each cell is centred on its receptive field.
    #[default]
    ReceptiveField,
    /// Cells are evenly spaced over the image, as in other libraries.
    Resize,
}

impl Placing {
    /// All methods, with their names on the command line.
    pub const ALL: [Named<Self>; 2] = [
        ("receptive-field", "Each cell at the centre of its receptive field", Self::ReceptiveField),
        ("resize", "Spread evenly over the image, as other libraries do", Self::Resize),
    ];

    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&self, &Self::ALL)
    }
}

impl FromStr for Placing {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(word, Self::ALL)
    }
}

/// Positions of a map's cells on the model's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Cells of rows and columns; `None` if they are evenly spaced.
    cells: [Option<Cells>; 2],
    /// Height and width of the model's input.
    image: [usize; 2],
}

impl Placement {
    /// Cells evenly spaced over the image.
    pub const EVEN: Self = Self { cells: [None; 2], image: [0; 2] };

    /// Creates the placement of cells on an input of `image` rows and columns.
    #[must_use]
    pub fn new(cells: [Option<Cells>; 2], image: [usize; 2]) -> Self {
        Self { cells, image }
    }

    /// Returns the cells of rows and columns, if they are known and not evenly spaced.
    #[must_use]
    pub fn cells(&self) -> Option<[Cells; 2]> {
        let [rows, columns] = self.cells;
        Some([rows?, columns?])
    }

    /// Returns the method of placement: by receptive field if the cells of both axes are known.
    #[must_use]
    pub fn placing(&self) -> Placing {
        if self.cells().is_some() { Placing::ReceptiveField } else { Placing::Resize }
    }

    /// True if the cells of an axis are evenly spaced.
    pub fn is_spread(&self, axis: usize) -> bool {
        self.cells[axis].is_none()
    }

    /// Converts a point of the image to a position among the `n` cells of an axis. The point is at the fraction `above`
    /// ÷ `below` of the axis, between its edges; the centre of cell i is i.
    pub fn cell(&self, axis: usize, above: f64, below: f64, n: usize) -> f64 {
        match self.cells[axis] {
            Some(cells) if !is_even(cells, n, self.image[axis]) => {
                (above * self.image[axis] as f64 / below - 0.5 - cells.offset) / cells.step
            }
            _ => above * n as f64 / below - 0.5,
        }
    }

    /// Returns the position of the centre of cell `i` of `n` as a fraction of the axis, from its first edge (0) to its
    /// last (1).
    pub fn share(&self, axis: usize, i: usize, n: usize) -> f64 {
        match self.cells[axis] {
            Some(cells) => (cells.pixel(i as f64) + 0.5) / self.image[axis] as f64,
            None => (i as f64 + 0.5) / n as f64,
        }
    }
}

/// True if `n` cells are evenly spaced up to rounding errors, in which case the result must be bit-identical.
fn is_even(cells: Cells, n: usize, side: usize) -> bool {
    let step = side as f64 / n as f64;
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
    close(cells.step, step) && close(cells.offset, (step - 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_pixels_among_cells_and_back() {
        let cells = Some(Cells::PIXELS.windows(3, 2, 1, 1).windows(3, 2, 1, 1));
        let placed = Placement::new([cells, None], [16, 16]);
        // Pixel 6 lies between cell 1 (at 4) and cell 2 (at 8).
        assert_eq!(placed.cell(0, 6.5, 16.0, 4), 1.5);
        assert_eq!(placed.cell(0, 0.5, 16.0, 4), 0.0);
        // At twice the size, the same pixel is at 12.5.
        assert_eq!(placed.cell(0, 13.0, 32.0, 4), 1.5);
        assert_eq!(placed.cell(1, 6.5, 16.0, 4), 1.125);
        assert_eq!(placed.share(0, 2, 4), 8.5 / 16.0);
        assert_eq!(placed.share(1, 2, 4), 0.625);
        assert_eq!(placed.placing(), Placing::Resize, "columns are spread evenly");
        let patches = Some(Cells::PIXELS.joined(4));
        let patches = Placement::new([patches; 2], [16, 16]);
        assert_eq!(patches.placing(), Placing::ReceptiveField);
        for i in 0..16 {
            let at = f64::from(i) + 0.5;
            assert_eq!(
                patches.cell(0, at, 16.0, 4).to_bits(),
                Placement::EVEN.cell(0, at, 16.0, 4).to_bits()
            );
        }
    }
}
