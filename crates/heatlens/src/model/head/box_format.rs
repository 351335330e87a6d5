//! Format of boxes, corners or centre and size, from the computation that decodes them.
//!
//! Detectors compute both formats from the same distances: left and top are an anchor minus a distance, right and
//! bottom are the anchor plus another. Centre and size are half the sum and the difference of these corners.

use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction as F;
use heatlens_graph::{Graph, ValueId};

use super::output_part::{along, same_axis};

/// Maximum length of a chain of nodes that is traced back.
const MOST_DEEP: usize = 64;
/// Numbers per box.
const SIDES: usize = 4;

/// Returns true for centre and size, false for corners, and `None` if the computation shows neither. The four numbers
/// of a box lie on `axis`.
pub(super) fn centred(graph: &Graph, boxes: ValueId, axis: usize) -> Option<bool> {
    let (boxes, axis) = unscaled(graph, boxes, axis);
    let parts = along(graph, boxes, axis);
    let &[(first, 2), (second, 2)] = parts.as_slice() else { return None };
    let (first, second) = (operands(graph, first)?, operands(graph, second)?);
    match (first, second) {
        ((F::Sub, [anchor, _]), (F::Add, others)) => {
            others.iter().any(|&other| same(graph, anchor, other)).then_some(false)
        }
        ((F::Mul | F::Div, [sum, _]), (F::Sub, [end, start])) => {
            let (function, corners) = operands(graph, sum)?;
            let both = corners.contains(&start) && corners.contains(&end);
            (function == F::Add && both).then_some(true)
        }
        _ => None,
    }
}

/// Returns the value of four numbers that is rearranged, multiplied by constants and joined with others, and the axis of
/// its numbers.
fn unscaled(graph: &Graph, mut value: ValueId, mut axis: usize) -> (ValueId, usize) {
    let mut start = 0;
    for _ in 0..MOST_DEEP {
        let Some(node) = graph.producer(value).map(|id| graph.node(id)) else { break };
        let Some(input) = node.inputs.first().copied().flatten() else { break };
        let shape = &graph.fact(value).shape;
        let before = match node.op.kind() {
            Kind::Transpose(transpose) => transpose.perm.get(axis).map(|&axis| (input, axis, start)),
            Kind::Slice(slice) if slice.axis != axis => Some((input, axis, start)),
            Kind::Slice(slice) => (slice.step == 1).then_some((input, axis, start + slice.start)),
            Kind::Binary(F::Mul | F::Div) => {
                is_constant(graph, node.inputs.get(1)).then_some((input, axis, start))
            }
            Kind::Concat(concat) if shape.axis(concat.axis) == Some(axis) => {
                part(graph, &node.inputs, axis, start).map(|(part, start)| (part, axis, start))
            }
            kind if kind.is_renaming() => {
                same_axis(&graph.fact(input).shape, shape, axis).map(|axis| (input, axis, start))
            }
            _ => None,
        };
        let Some(before) = before else { break };
        (value, axis, start) = before;
    }
    (value, axis)
}

/// Returns the concatenated value that holds four numbers from `start`, and their position in it.
fn part(graph: &Graph, inputs: &[Option<ValueId>], axis: usize, start: usize) -> Option<(ValueId, usize)> {
    let mut before = 0;
    for input in inputs.iter().copied().flatten() {
        let size = graph.fact(input).shape.0.get(axis)?.at(1);
        if (before..before + size).contains(&start) {
            return (start + SIDES <= before + size).then_some((input, start - before));
        }
        before += size;
    }
    None
}

fn is_constant(graph: &Graph, value: Option<&Option<ValueId>>) -> bool {
    value.copied().flatten().is_some_and(|id| graph.constant(id).is_some())
}

/// Returns the function of two values that computes a value, behind reshapes.
fn operands(graph: &Graph, mut value: ValueId) -> Option<(F, [ValueId; 2])> {
    for _ in 0..MOST_DEEP {
        let node = graph.node(graph.producer(value)?);
        match (node.op.kind(), node.inputs.as_slice()) {
            (Kind::Binary(function), &[Some(a), Some(b)]) => return Some((function, [a, b])),
            (kind, &[Some(input)]) if kind.is_renaming() => value = input,
            _ => return None,
        }
    }
    None
}

/// True if two values are the same, or constants with the same elements.
fn same(graph: &Graph, a: ValueId, b: ValueId) -> bool {
    let constants = || graph.constant(a).zip(graph.constant(b)).is_some_and(|(a, b)| a == b);
    a == b || constants()
}

#[cfg(test)]
mod tests {
    use heatlens_graph::op::concat::Concat;
    use heatlens_graph::op::slice::Slice;
    use heatlens_graph::{Builder, Fact, Shape, Tensor};

    use super::*;

    type Two = [ValueId; 2];

    /// Returns the format of boxes that are computed from a grid's anchors and two distances, times the grid's step, and
    /// taken from an array that they were joined in with scores.
    fn format(decode: impl FnOnce(&mut Builder<'_>, ValueId, Two) -> Two) -> Option<bool> {
        let mut graph = Graph::new("decode");
        let distances =
            ["start", "end"].map(|name| graph.add_input(name, Fact::f32(Shape::batched(&[2, 6]))));
        let mut b = Builder::new(&mut graph, "decode");
        let anchors = b.constant(Tensor::f32(&[1, 2, 6], (0..12u8).map(f32::from).collect()));
        let parts = decode(&mut b, anchors, distances);
        let boxes = b.apply(Concat { axis: 1 }, &parts).unwrap();
        let step = b.constant(Tensor::f32(&[1, 6], vec![8.0; 6]));
        let boxes = b.mul(boxes, step).unwrap();
        let all = b.apply(Concat { axis: 1 }, &[distances[0], boxes, distances[1]]).unwrap();
        let all = b.transpose(all, &[0, 2, 1]).unwrap();
        let boxes = b.apply(Slice { axis: 2, start: 2, len: 4, step: 1 }, &[all]).unwrap();
        centred(&graph, boxes, 2)
    }

    fn corners(b: &mut Builder<'_>, anchors: ValueId, [start, end]: Two) -> Two {
        // Exporters repeat constants.
        let again = b.constant(Tensor::f32(&[1, 2, 6], (0..12u8).map(f32::from).collect()));
        [b.sub(anchors, start).unwrap(), b.add(again, end).unwrap()]
    }

    #[test]
    fn corners_and_centres_are_told_from_their_computation() {
        assert_eq!(format(corners), Some(false));
        let centre = |b: &mut Builder<'_>, anchors, distances| {
            let [first, second] = corners(b, anchors, distances);
            let sum = b.add(first, second).unwrap();
            [b.scale(sum, 0.5).unwrap(), b.sub(second, first).unwrap()]
        };
        assert_eq!(format(centre), Some(true));
    }

    #[test]
    fn other_computations_show_neither() {
        assert_eq!(format(|_, _, distances| distances), None);
        let apart = |b: &mut Builder<'_>, anchors, [start, end]: Two| {
            [b.sub(anchors, start).unwrap(), b.add(start, end).unwrap()]
        };
        assert_eq!(format(apart), None);
        let other = |b: &mut Builder<'_>, anchors, [start, end]: Two| {
            let elsewhere = b.constant(Tensor::f32(&[1, 2, 6], vec![3.0; 12]));
            [b.sub(anchors, start).unwrap(), b.add(elsewhere, end).unwrap()]
        };
        assert_eq!(format(other), None);
    }
}
