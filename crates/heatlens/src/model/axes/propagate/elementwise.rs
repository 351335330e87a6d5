//! Element-wise operators.

use std::rc::Rc;

use heatlens_graph::{Dim, Node, Shape, ValueId};

use super::super::axis::{Axis, unknown};
use super::super::elementwise::{Meeting, keeps};
use super::Walk;

impl Walk<'_> {
    /// Returns the axes of an element-wise result: each as in the input of equal size in which most is known about it,
    /// with the mean position of all inputs.
    pub(super) fn elementwise(&mut self, node: &Node, shape: &Shape) -> Rc<[Axis]> {
        self.common(node, shape).unwrap_or_else(|| self.met(node, shape, &[]).into())
    }

    /// Returns the axes of the inputs if all that depend on the image have the same axes and the shape of the result, and
    /// more is known of each axis than its size.
    fn common(&self, node: &Node, shape: &Shape) -> Option<Rc<[Axis]>> {
        let mut depending =
            node.inputs.iter().flatten().filter_map(|i| Some((*i, self.axes[i.index()].as_ref()?)));
        let (first, axes) = depending.next()?;
        let fits = |value: ValueId| self.graph.fact(value).shape == *shape;
        let same = depending.all(|(value, other)| (Rc::ptr_eq(axes, other) || axes == other) && fits(value));
        let kept = |(axis, dim): (&Axis, &Dim)| keeps(axis, *dim);
        (same && fits(first) && axes.iter().zip(&shape.0).all(kept)).then(|| Rc::clone(axes))
    }

    /// Same as [`elementwise`](Self::elementwise), with weight `shares[i]` (default 1) for input i.
    pub(super) fn met(&mut self, node: &Node, shape: &Shape, shares: &[f64]) -> Vec<Axis> {
        let rank = shape.rank();
        let mut meeting = Meeting::new(rank);
        for i in 0..node.inputs.len() {
            let (Some(own), Some(Some(input))) = (self.of(node, i), node.inputs.get(i)) else { continue };
            let input = &self.graph.fact(*input).shape;
            let Some(shift) = rank.checked_sub(own.len()) else { continue };
            let share = shares.get(i).copied().unwrap_or(1.0);
            let same = |at: usize| at >= shift && input.0.get(at - shift) == shape.0.get(at);
            meeting.add(share, |at| same(at).then(|| own[at - shift].clone()));
        }
        meeting.axes(unknown(shape), &mut self.fields)
    }
}
