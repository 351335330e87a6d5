//! One axis of cells on one axis of the image.

use super::Fit;

/// Maximum distance, in cells, between the positions of branches that are merged.
const FARTHEST: f64 = 2.0;
/// Relative difference below which steps are considered equal.
const SAME: f64 = 1e-6;

/// Positions of an axis' cells on the image's axis: the centre of cell i is at pixel `step`·i + `offset`, where the
/// centre of pixel j is j.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cells {
    /// Pixels from one cell to the next; negative if the axis is flipped.
    pub step: f64,
    /// Pixel position of cell 0; outside the image if padding moved it there.
    pub offset: f64,
    /// First and last pixel of the receptive field of cell 0.
    sees: [f64; 2],
    /// Distance, in pixels, between the branches of the network that meet in a cell; the cell is placed at their mean
    /// position.
    pub apart: f64,
    /// True if a cell also depends on places outside its receptive field: through attention, through a gate computed
    /// from the image's mean, or through a branch that could not be followed.
    pub mixed: bool,
}

impl Cells {
    /// The pixels of the image.
    pub const PIXELS: Self = Self { step: 1.0, offset: 0.0, sees: [0.0; 2], apart: 0.0, mixed: false };

    /// Returns the size of a cell's receptive field in pixels, including padding.
    #[must_use]
    pub fn reach(&self) -> f64 {
        self.sees[1] - self.sees[0] + 1.0
    }

    /// Returns the first and last pixel of the receptive field of cell `i`, which may lie in the padding.
    #[must_use]
    pub fn sees(&self, i: f64) -> [f64; 2] {
        self.sees.map(|pixel| pixel + self.step * i)
    }

    /// Returns the pixel position of cell `i`.
    #[must_use]
    pub fn pixel(&self, i: f64) -> f64 {
        self.step * i + self.offset
    }

    /// Returns the cells of windows with `kernel` elements, spaced by `dilation`, which move by `stride` and begin
    /// `pad` elements before the axis.
    pub fn windows(self, kernel: usize, stride: usize, dilation: usize, pad: usize) -> Self {
        let span = (kernel.max(1) - 1) as f64 * dilation as f64;
        let first = -(pad as f64);
        self.composed(stride as f64, first + span / 2.0, [first, first + span])
    }

    /// Returns the cells of the transposed operation, in which each of the given cells is spread over a window.
    pub fn spread(self, kernel: usize, stride: usize, dilation: usize, pad: usize) -> Self {
        let span = (kernel.max(1) - 1) as f64 * dilation as f64;
        let stride = stride.max(1) as f64;
        let centre = (pad as f64 - span / 2.0) / stride;
        // Half the number of cells that reach each element.
        let half = (((span + 1.0) / stride).ceil() - 1.0) / 2.0;
        self.composed(stride.recip(), centre, [centre - half, centre + half])
    }

    /// Returns every `stride`-th cell, starting from cell `start`.
    pub fn every(self, stride: usize, start: usize) -> Self {
        self.composed(stride as f64, start as f64, [start as f64; 2])
    }

    /// Returns the cells with `front` additional cells before them that have no position.
    pub fn behind(self, front: usize) -> Self {
        let shift = -(front as f64);
        self.composed(1.0, shift, [shift; 2])
    }

    /// Merges each group of `size` cells into one.
    pub fn joined(self, size: usize) -> Self {
        self.windows(size, size, 1, 0)
    }

    /// Splits each cell into `parts`.
    pub fn cut(self, parts: usize) -> Self {
        self.spread(parts, parts, 1, 0)
    }

    /// Returns the cells selected from these, or computed from them.
    pub fn picked(self, fit: &Fit) -> Self {
        self.composed(fit.scale, fit.shift, fit.between)
    }

    /// Returns the cells with other places mixed in.
    pub fn mixed(self) -> Self {
        Self { mixed: true, ..self }
    }

    /// Returns cells of which cell i is at cell `scale`·i + `shift` of these, and for i = 0 sees cells `between[0]` to
    /// `between[1]`.
    fn composed(self, scale: f64, shift: f64, between: [f64; 2]) -> Self {
        let ends = between.map(|cell| self.step * cell);
        let sees = [self.sees[0] + ends[0].min(ends[1]), self.sees[1] + ends[0].max(ends[1])];
        Self { step: self.step * scale, offset: self.pixel(shift), sees, ..self }
    }

    /// Returns the cells in which two branches meet, at their mean position weighted by `shares`. Returns `None` if the
    /// steps differ or the branches are too far apart.
    pub fn merged(self, other: Self, shares: [f64; 2]) -> Option<Self> {
        let same_step = (self.step - other.step).abs() <= SAME * self.step.abs();
        let apart = (self.offset - other.offset).abs();
        if !same_step || apart > FARTHEST * self.step.abs() {
            return None;
        }
        let share = shares[1] / (shares[0] + shares[1]);
        Some(Self {
            step: self.step,
            offset: self.offset + share * (other.offset - self.offset),
            sees: [self.sees[0].min(other.sees[0]), self.sees[1].max(other.sees[1])],
            apart: apart.max(self.apart).max(other.apart),
            mixed: self.mixed || other.mixed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(cells: Cells) -> (f64, f64, f64) {
        (cells.step, cells.offset, cells.reach())
    }

    #[test]
    fn convolutions_without_padding_and_pools_move_the_first_cell_in() {
        let mut cells = Cells::PIXELS;
        for _ in 0..2 {
            cells = cells.windows(3, 1, 1, 0).windows(2, 2, 1, 0);
        }
        // 1 + ½ + 2·(1 + ½): the demo model's network.
        assert_eq!(at(cells), (4.0, 4.5, 10.0));
    }

    #[test]
    fn padded_strides_keep_the_first_cell_at_the_first_pixel() {
        // ResNet-18: 7×7/2, pool 3/2, then 3×3 convolutions, three of which have a stride of 2.
        let mut cells = Cells::PIXELS.windows(7, 2, 1, 3).windows(3, 2, 1, 1);
        for stride in [1, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1] {
            cells = cells.windows(3, stride, 1, 1);
        }
        // 435 pixels: Araujo et al. 2019, table for ResNet-18.
        assert_eq!(at(cells), (32.0, 0.0, 435.0));
        // TensorFlow's SAME with a stride of 2 on an even axis pads at the end only.
        assert_eq!(at(Cells::PIXELS.windows(3, 2, 1, 0)), (2.0, 1.0, 3.0));
        assert_eq!(at(Cells::PIXELS.windows(3, 1, 4, 4)), (1.0, 0.0, 9.0));
    }

    #[test]
    fn what_is_spread_again_is_where_it_was() {
        let patches = Cells::PIXELS.joined(16);
        assert_eq!(at(patches), (16.0, 7.5, 16.0));
        assert_eq!(at(patches.cut(2)), (8.0, 3.5, 16.0));
        // Transposed convolution, window 4, stride 2, padding 1: each element depends on two cells.
        let wide = Cells::PIXELS.joined(4).spread(4, 2, 1, 1);
        assert_eq!(at(wide), (2.0, 0.5, 8.0));
        assert_eq!(at(Cells::PIXELS.every(2, 1).behind(3)), (2.0, -5.0, 1.0));
    }

    #[test]
    fn branches_meet_in_the_middle_or_not_at_all() {
        let (a, b) = (Cells::PIXELS.windows(3, 2, 1, 0), Cells::PIXELS.every(2, 0));
        let both = a.merged(b, [1.0, 1.0]).unwrap();
        assert_eq!((both.step, both.offset, both.reach(), both.apart), (2.0, 0.5, 3.0, 1.0));
        assert_eq!(a.merged(b, [3.0, 1.0]).unwrap().offset, 0.75);
        assert!(a.merged(Cells::PIXELS, [1.0, 1.0]).is_none(), "other steps");
        assert!(a.merged(b.every(1, 3), [1.0, 1.0]).is_none(), "3 cells apart");
        assert_eq!(a.sees(2.0), [4.0, 6.0]);
        assert!(a.mixed().merged(b, [1.0, 1.0]).unwrap().mixed);
    }
}
