//! How a map lies on the image that it is of.

use std::str::FromStr;

use super::Cells;
use crate::nearest::named;

/// How maps of a layer's size are laid over the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placing {
    /// Each cell where it looks: at the centre of its receptive field.
    #[default]
    ReceptiveField,
    /// Evenly over the image, as other libraries do.
    Resize,
}

impl Placing {
    /// Both ways, and what people type for them.
    pub const ALL: [(&'static str, Self); 2] =
        [("receptive-field", Self::ReceptiveField), ("resize", Self::Resize)];

    /// What people type.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, placing)| *placing == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for Placing {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(word, Self::ALL)
    }
}

/// Where the cells of a map stand on the model's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Rows and columns; `None` where they are spread evenly.
    cells: [Option<Cells>; 2],
    /// Rows and columns of the model's input.
    image: [usize; 2],
}

impl Placement {
    /// Spread evenly over the image.
    pub const EVEN: Self = Self { cells: [None; 2], image: [0; 2] };

    /// Cells on an input of `image` rows and columns.
    #[must_use]
    pub fn new(cells: [Option<Cells>; 2], image: [usize; 2]) -> Self {
        Self { cells, image }
    }

    /// Rows and columns, where they are known and not spread evenly.
    #[must_use]
    pub fn cells(&self) -> Option<[Cells; 2]> {
        let [rows, columns] = self.cells;
        Some([rows?, columns?])
    }

    /// Whether both axes are placed by what the cells see.
    #[must_use]
    pub fn placing(&self) -> Placing {
        if self.cells().is_some() { Placing::ReceptiveField } else { Placing::Resize }
    }

    /// Whether the cells of an axis are spread evenly.
    pub(crate) fn is_spread(&self, axis: usize) -> bool {
        self.cells[axis].is_none()
    }

    /// Where a point of the image falls among the `n` cells of an axis: at the share `above` ÷ `below` of the axis, from
    /// its first edge to its last. Cell i's own centre is i.
    pub(crate) fn cell(&self, axis: usize, above: f64, below: f64, n: usize) -> f64 {
        match self.cells[axis] {
            Some(cells) if !is_even(cells, n, self.image[axis]) => {
                (above * self.image[axis] as f64 / below - 0.5 - cells.offset) / cells.step
            }
            _ => above * n as f64 / below - 0.5,
        }
    }

    /// At which share of the axis the centre of cell `i` of `n` stands, from the axis' first edge (0) to its last (1).
    pub(crate) fn share(&self, axis: usize, i: usize, n: usize) -> f64 {
        match self.cells[axis] {
            Some(cells) => (cells.pixel(i as f64) + 0.5) / self.image[axis] as f64,
            None => (i as f64 + 0.5) / n as f64,
        }
    }
}

/// Whether so many cells are spread evenly, to rounding: then the same bits must come out.
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
        // Drawn twice as large, the same pixel is the picture's 12.5th.
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
