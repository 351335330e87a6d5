//! Effect of constant matrices and constant indices on rows and columns: resizing, and cutting windows.

use heatlens_graph::op::Kind;
use heatlens_graph::op::gather::Gather;
use heatlens_graph::{Graph, Node};

use super::axis::{Axis, Digit, Part};
use crate::model::placement::Pick;

/// Returns the rows or columns that an axis runs over, if it runs over nothing else.
pub(super) fn whole(axis: &Axis) -> Option<(Part, Digit)> {
    match *axis.as_slice() {
        [part @ (Part::Rows(digit) | Part::Columns(digit))] if digit.is_leading() && digit.stride == 1 => {
            Some((part, digit))
        }
        _ => None,
    }
}

/// Returns the source elements of each element of a node's result, if the node's input at `index` is a constant matrix
/// of weighted means: the weights of each element must sum to 1. `along` is the axis of the matrix that is summed over.
pub(super) fn means(graph: &Graph, node: &Node, index: usize, along: usize) -> Option<Vec<Pick>> {
    let matrix = node.inputs.get(index).copied().flatten();
    let (values, columns, along) = through_transpose(graph, matrix?, along)?;
    let (outputs, stride, step) = match along {
        0 => (columns, 1, columns),
        _ => (values.len() / columns.max(1), columns, 1),
    };
    let summed = values.len() / outputs.max(1);
    let weights = |o: usize| (0..summed).map(move |i| f64::from(values[o * stride + i * step]));
    let mean = |o: usize| {
        ((weights(o).sum::<f64>() - 1.0).abs() < 1e-4).then(|| Pick::weighted(weights(o))).flatten()
    };
    (outputs > 0).then(|| (0..outputs).map(mean).collect()).flatten()
}

/// Returns a constant matrix, its number of columns, and its axis that corresponds to `along`, following a
/// transposition.
fn through_transpose(
    graph: &Graph,
    id: heatlens_graph::ValueId,
    along: usize,
) -> Option<(&[f32], usize, usize)> {
    if let Some(tensor) = graph.constant(id) {
        let &[_, columns] = tensor.shape() else { return None };
        return Some((tensor.as_f32()?, columns, along));
    }
    let node = graph.node(graph.producer(id)?);
    matches!(node.op.kind(), Kind::Transpose(_)).then_some(())?;
    let tensor = graph.constant(node.inputs.first().copied().flatten()?)?;
    let &[_, columns] = tensor.shape() else { return None };
    Some((tensor.as_f32()?, columns, 1 - along.min(1)))
}

/// Result of selecting rows or columns by an array of indices.
pub(super) enum Picked {
    /// Windows without overlap: the number is split into digits.
    Digits(Vec<Digit>),
    /// New rows or columns that cover the old ones from end to end.
    Fresh {
        /// Axis of the indices that holds the new rows or columns.
        at: usize,
        /// Distance between neighbours, in old rows or columns.
        step: usize,
        /// Centre of the first one, in old rows or columns.
        centre: f64,
        /// Distance from the first to the last source of one element.
        span: f64,
    },
}

/// Interprets indices that grow evenly along each of their axes: windows (`p·stride + k`), or a selection at regular
/// intervals.
pub(super) fn picked(gather: &Gather, digit: Digit) -> Option<Picked> {
    let steps = even_steps(gather)?;
    let axes = || gather.shape.iter().zip(&steps);
    // Digits: the step of each axis is the number of values covered by the axes with smaller steps.
    let mut order: Vec<(usize, usize)> =
        axes().map(|(&size, &step)| (step, size)).filter(|&(_, size)| size > 1).collect();
    order.sort_unstable();
    let mut filled = 1;
    let exact = order.iter().all(|&(step, size)| {
        let fits = step == filled;
        filled *= size;
        fits
    });
    if exact && filled == digit.size && gather.indices.first() == Some(&0) {
        let cut = |(&size, &step): (&usize, &usize)| Digit { size, stride: step * digit.stride, ..digit };
        return Some(Picked::Digits(axes().map(cut).collect()));
    }
    // Windows with overlaps or gaps: the axis with the largest extent gives the position, if the ends are covered.
    let (at, _) = axes().enumerate().max_by_key(|(_, (size, step))| size.saturating_sub(1) * **step)?;
    let (first, last) = (*gather.indices.iter().min()?, *gather.indices.iter().max()?);
    let step = *steps.get(at)?;
    let covers = first < step.max(1) && last + step.max(1) >= digit.size;
    let span =
        axes().enumerate().filter(|(i, _)| *i != at).map(|(_, (size, step))| size.saturating_sub(1) * *step);
    let span = span.sum::<usize>() as f64;
    let fresh = Picked::Fresh { at, step, centre: first as f64 + span / 2.0, span };
    (*gather.shape.get(at)? > 1 && covers).then_some(fresh)
}

/// Returns the step of the index along each axis of the indices, if it is constant.
fn even_steps(gather: &Gather) -> Option<Vec<usize>> {
    let mut stride = gather.indices.len();
    let first = *gather.indices.first()?;
    let mut strides = Vec::new();
    let mut steps = Vec::new();
    for &size in &gather.shape {
        stride /= size.max(1);
        strides.push(stride);
        steps.push(if size > 1 { gather.indices.get(stride)?.checked_sub(first)? } else { 0 });
    }
    let expected = |mut place: usize| {
        let mut index = first;
        for (stride, step) in strides.iter().zip(&steps) {
            index += place / stride * step;
            place %= stride;
        }
        index
    };
    gather.indices.iter().enumerate().all(|(place, &index)| index == expected(place)).then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(shape: &[usize], index: impl Fn(usize) -> usize) -> Gather {
        let indices = (0..shape.iter().product()).map(index).collect::<Vec<_>>();
        Gather { axis: 2, indices: indices.into(), shape: shape.to_vec() }
    }

    #[test]
    fn windows_side_by_side_are_digits() {
        // PyTorch's unfold: element k of window p is at 4 p + k.
        let unfold = gather(&[4, 5], |i| i / 5 + 4 * (i % 5));
        let Some(Picked::Digits(digits)) = picked(&unfold, Digit::whole(1, 20)) else { panic!() };
        let sizes: Vec<_> = digits.iter().map(|d| (d.size, d.stride)).collect();
        assert_eq!(sizes, [(4, 1), (5, 4)]);
    }

    #[test]
    fn windows_that_overlap_are_new_rows() {
        let unfold = gather(&[3, 9], |i| i / 9 + 2 * (i % 9));
        let Some(Picked::Fresh { at, step, centre, span }) = picked(&unfold, Digit::whole(1, 19)) else {
            panic!()
        };
        assert_eq!((at, step, centre, span), (1, 2, 1.0, 2.0));
        let every_other = gather(&[10], |i| 2 * i);
        assert!(matches!(
            picked(&every_other, Digit::whole(1, 20)),
            Some(Picked::Fresh { at: 0, step: 2, .. })
        ));
        let half = gather(&[10], |i| i);
        assert!(picked(&half, Digit::whole(1, 20)).is_none());
        let shuffled = gather(&[4], |i| [0, 2, 1, 3][i]);
        assert!(picked(&shuffled, Digit::whole(1, 4)).is_none());
    }
}
