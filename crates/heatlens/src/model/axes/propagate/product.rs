//! Matrix products.

use heatlens_graph::{Node, Shape};

use super::super::axis::{Axis, unknown};
use super::super::receptive_field::Side;
use super::super::selection;
use super::Walk;

impl Walk<'_> {
    /// Returns the axes of a matrix product: rows of the first factor, columns of the second, and leading axes as in
    /// element-wise operators.
    pub(super) fn product(&mut self, node: &Node, shape: &Shape) -> Option<Vec<Axis>> {
        let mut axes = self.met(node, shape, &[]);
        let (rank, plain) = (shape.rank(), unknown(shape));
        for (input, back) in [(0, 2), (1, 1)] {
            let at = rank.checked_sub(back)?;
            let from = self.of(node, input).and_then(|own| own.get(own.len().checked_sub(back)?)).cloned();
            *axes.get_mut(at)? = match from {
                Some(axis) => axis,
                None => self.resized(node, input, shape).or_else(|| plain.get(at).cloned())?,
            };
        }
        if self.sums_over_places(node) {
            axes.iter_mut().for_each(|axis| self.mix(axis));
        }
        Some(axes)
    }

    /// True if a product of two values that depend on the image sums over places, as in attention.
    fn sums_over_places(&self, node: &Node) -> bool {
        let summed = |input: usize, back: usize| {
            let axes = self.of(node, input)?;
            axes.get(axes.len().checked_sub(back)?)
        };
        let of_places = |axis: &Axis| axis.iter().any(|p| p.digit().is_some() || p.is_place());
        let (Some(a), Some(b)) = (summed(0, 1), summed(1, 2)) else { return false };
        of_places(a) || of_places(b)
    }

    /// Returns the rows or columns that a constant matrix, the factor at `matrix`, computes from those of the other
    /// factor.
    fn resized(&mut self, node: &Node, matrix: usize, shape: &Shape) -> Option<Axis> {
        let (back, along) = if matrix == 0 { (2, 1) } else { (1, 0) };
        let other = self.of(node, 1 - matrix)?;
        let (part, digit) = selection::whole(other.get(other.len().checked_sub(back)?)?)?;
        let size = shape.0.get(shape.rank().checked_sub(back)?)?.at(1);
        let picks = selection::means(self.graph, node, matrix, along)?;
        let cells = self.picked(digit, &picks);
        Some(self.fresh(Side::of(&part)?, size, cells))
    }
}
