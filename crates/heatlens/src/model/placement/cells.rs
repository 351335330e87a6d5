//! One axis of cells over one axis of the image.

use super::Fit;

/// Branches whose cells stand further apart than so many cells are not put together.
const FARTHEST: f64 = 2.0;
/// Steps that differ by less than this share are rounding.
const SAME: f64 = 1e-6;

/// Where the cells of an axis stand on the image's axis: the centre of cell i is at pixel `step`·i + `offset`, where
/// pixel j's own centre is j.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cells {
    /// Pixels from one cell to the next; negative where the axis is flipped.
    pub step: f64,
    /// The pixel at which cell 0 stands; outside of the image where padding moved it there.
    pub offset: f64,
    /// First and last pixel that cell 0 sees.
    sees: [f64; 2],
    /// How many pixels apart the branches of the network stand that meet in a cell; the cell is put in their middle.
    pub apart: f64,
    /// Whether a cell also depends on places that its place says nothing of: by attention, by a gate made of the
    /// image's mean, or by a branch that could not be followed.
    pub mixed: bool,
}

impl Cells {
    /// The image's own pixels.
    pub(crate) const PIXELS: Self = Self { step: 1.0, offset: 0.0, sees: [0.0; 2], apart: 0.0, mixed: false };

    /// How many pixels of the image, padding included, a cell sees from one end to the other.
    #[must_use]
    pub fn reach(&self) -> f64 {
        self.sees[1] - self.sees[0] + 1.0
    }

    /// The first and the last pixel that cell `i` sees, which may lie in the padding.
    #[must_use]
    pub fn sees(&self, i: f64) -> [f64; 2] {
        self.sees.map(|pixel| pixel + self.step * i)
    }

    /// Where cell `i` stands.
    #[must_use]
    pub fn pixel(&self, i: f64) -> f64 {
        self.step * i + self.offset
    }

    /// The cells of windows of `kernel` elements, `dilation` apart, that move by `stride` and begin `pad` in front of
    /// the axis.
    pub(crate) fn windows(self, kernel: usize, stride: usize, dilation: usize, pad: usize) -> Self {
        let span = (kernel.max(1) - 1) as f64 * dilation as f64;
        let first = -(pad as f64);
        self.composed(stride as f64, first + span / 2.0, [first, first + span])
    }

    /// The cells of the other way: each of the given cells is spread over a window.
    pub(crate) fn spread(self, kernel: usize, stride: usize, dilation: usize, pad: usize) -> Self {
        let span = (kernel.max(1) - 1) as f64 * dilation as f64;
        let stride = stride.max(1) as f64;
        let centre = (pad as f64 - span / 2.0) / stride;
        // So many cells reach each element.
        let half = (((span + 1.0) / stride).ceil() - 1.0) / 2.0;
        self.composed(stride.recip(), centre, [centre - half, centre + half])
    }

    /// Every `stride`-th cell from cell `start` on.
    pub(crate) fn every(self, stride: usize, start: usize) -> Self {
        self.composed(stride as f64, start as f64, [start as f64; 2])
    }

    /// With `front` more cells in front, which stand for nothing.
    pub(crate) fn behind(self, front: usize) -> Self {
        let shift = -(front as f64);
        self.composed(1.0, shift, [shift; 2])
    }

    /// Each `size` cells as one.
    pub(crate) fn joined(self, size: usize) -> Self {
        self.windows(size, size, 1, 0)
    }

    /// Each cell as `parts`.
    pub(crate) fn cut(self, parts: usize) -> Self {
        self.spread(parts, parts, 1, 0)
    }

    /// The cells picked from these, or made of them.
    pub(crate) fn picked(self, fit: &Fit) -> Self {
        self.composed(fit.scale, fit.shift, fit.between)
    }

    /// With other places mixed in.
    pub(crate) fn mixed(self) -> Self {
        Self { mixed: true, ..self }
    }

    /// Cell i of the result stands at cell `scale`·i + `shift` of these, and sees those from `between[0]` to `between[1]`
    /// at i = 0.
    fn composed(self, scale: f64, shift: f64, between: [f64; 2]) -> Self {
        let ends = between.map(|cell| self.step * cell);
        let sees = [self.sees[0] + ends[0].min(ends[1]), self.sees[1] + ends[0].max(ends[1])];
        Self { step: self.step * scale, offset: self.pixel(shift), sees, ..self }
    }

    /// The cells in which two branches meet, weighed by `shares`: in their middle. `None` where they do not belong
    /// together: other steps, or too far apart.
    pub(crate) fn merged(self, other: Self, shares: [f64; 2]) -> Option<Self> {
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
        // ResNet-18: 7×7/2, pool 3/2, then 3×3 convolutions, of which three have a step of 2.
        let mut cells = Cells::PIXELS.windows(7, 2, 1, 3).windows(3, 2, 1, 1);
        for stride in [1, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1] {
            cells = cells.windows(3, stride, 1, 1);
        }
        // 435 pixels: Araujo et al. 2019, table for ResNet-18.
        assert_eq!(at(cells), (32.0, 0.0, 435.0));
        // TensorFlow's SAME with a step of 2 on an even axis pads behind only.
        assert_eq!(at(Cells::PIXELS.windows(3, 2, 1, 0)), (2.0, 1.0, 3.0));
        assert_eq!(at(Cells::PIXELS.windows(3, 1, 4, 4)), (1.0, 0.0, 9.0));
    }

    #[test]
    fn what_is_spread_again_is_where_it_was() {
        let patches = Cells::PIXELS.joined(16);
        assert_eq!(at(patches), (16.0, 7.5, 16.0));
        assert_eq!(at(patches.cut(2)), (8.0, 3.5, 16.0));
        // Transposed convolution, window 4, step 2, padding 1: an element is made of two cells.
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
