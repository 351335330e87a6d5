//! Concatenation.

use heatlens_graph::op::concat::Concat;
use heatlens_graph::{Node, Shape, ValueId};

use super::super::axis::{Axis, Digit, Part, tokens, unknown};
use super::{Walk, single};

impl Walk<'_> {
    pub(super) fn joined(&mut self, node: &Node, concat: &Concat, shape: &Shape) -> Option<Vec<Axis>> {
        let at = shape.axis(concat.axis)?;
        let size = |input: &Option<ValueId>| {
            input.and_then(|i| self.graph.fact(i).shape.0.get(at)).map_or(0.0, |d| d.at(1) as f64)
        };
        let shares: Vec<f64> = node.inputs.iter().map(size).collect();
        let mut axes = self.met(node, shape, &shares);
        if let Some(axis) = self.surrounded(node, at, shape) {
            *axes.get_mut(at)? = axis;
            return Some(axes);
        }
        let mut joined: Option<(usize, [Digit; 2], usize)> = None;
        let mut before = 0;
        for (i, input) in node.inputs.iter().enumerate() {
            let size = self.graph.fact((*input)?).shape.0.get(at)?.at(1);
            let own = self.of(node, i).and_then(|axes| tokens(axes.get(at)?));
            match (own, &mut joined) {
                (Some((front, grid, back)), None) => joined = Some((before + front, grid, back)),
                (None, Some((_, _, after))) => *after += size,
                (None, None) => before += size,
                (Some(_), Some(_)) => return Some(set(axes, at, &unknown(shape))),
            }
        }
        match joined {
            Some((before, grid, after)) => *axes.get_mut(at)? = vec![Part::Tokens { before, grid, after }],
            None => return Some(set(axes, at, &unknown(shape))),
        }
        Some(axes)
    }

    /// Returns an axis of rows or columns with constants around them.
    fn surrounded(&mut self, node: &Node, at: usize, shape: &Shape) -> Option<Axis> {
        let mut own = (0..node.inputs.len()).filter_map(|i| Some((i, self.of(node, i)?.get(at)?)));
        let ((input, axis), None) = (own.next()?, own.next()) else { return None };
        single(axis)?;
        let (side, cells) = self.fields.of_axis(axis)?;
        let before = node.inputs.iter().take(input).flatten();
        let front: usize = before.map(|&i| self.graph.fact(i).shape.0.get(at).map_or(0, |d| d.at(1))).sum();
        Some(self.part(side, shape.0.get(at)?.at(1), Some(cells.behind(front))))
    }
}

/// Returns `axes` with the one at `at` replaced by that of `other`.
fn set(mut axes: Vec<Axis>, at: usize, other: &[Axis]) -> Vec<Axis> {
    if let (Some(axis), Some(new)) = (axes.get_mut(at), other.get(at)) {
        axis.clone_from(new);
    }
    axes
}
