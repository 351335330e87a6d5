//! Parts of a value, and the corresponding values before a sigmoid in the same arrangement.
//!
//! A detector concatenates the boxes and scores of several levels into one output. To obtain the scores before their
//! sigmoid, the part of the output that holds them is traced back through concatenations and reshapes, which are then
//! repeated without the sigmoid.

use heatlens_graph::op::Kind;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::reshape::Reshape;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Builder, Dim, Graph, GraphError, Node, NodeId, Shape, ValueId};

use super::{Activation, decomposed_softmax};

/// Maximum length of a chain of nodes that is traced back.
const MOST_DEEP: usize = 64;

/// Range of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) axis: usize,
    pub(super) start: usize,
    pub(super) len: usize,
}

/// Appends a part of a value, sliced as early in the graph as possible.
///
/// # Errors
/// If the value has no such part.
pub(super) fn narrow(graph: &mut Graph, value: ValueId, part: Part) -> Result<ValueId, GraphError> {
    go(graph, value, part, MOST_DEEP)
}

fn go(graph: &mut Graph, value: ValueId, part: Part, depth: usize) -> Result<ValueId, GraphError> {
    let Part { axis, start, len } = part;
    let shape = graph.fact(value).shape.clone();
    if start == 0 && shape.0.get(axis) == Some(&Dim::Fixed(len)) {
        return Ok(value);
    }
    let node = graph.producer(value).map(|id| graph.node(id).clone());
    if let Some(node) = node.filter(|node| depth > 0 && node.outputs.len() == 1)
        && let Some(found) = through(graph, &node, &shape, part, depth - 1)?
    {
        return Ok(found);
    }
    Builder::new(graph, "part").apply(Slice { axis, start, len, step: 1 }, &[value])
}

/// Appends the part of the output of a node that only concatenates, rearranges or maps its inputs element by element.
fn through(
    graph: &mut Graph,
    node: &Node,
    shape: &Shape,
    part: Part,
    depth: usize,
) -> Result<Option<ValueId>, GraphError> {
    let inputs: Vec<ValueId> = node.inputs.iter().copied().flatten().collect();
    let &[first, ..] = inputs.as_slice() else { return Ok(None) };
    match node.op.kind() {
        Kind::Concat(concat) => joined(graph, *concat, &inputs, shape, part, depth),
        Kind::Transpose(transpose) => {
            let inner = go(graph, first, Part { axis: transpose.perm[part.axis], ..part }, depth)?;
            Builder::new(graph, "part").transpose(inner, &transpose.perm).map(Some)
        }
        Kind::Slice(slice) => match (slice.axis == part.axis, slice.step) {
            (true, 1) => go(graph, first, Part { start: slice.start + part.start, ..part }, depth).map(Some),
            (true, _) => Ok(None),
            (false, _) => {
                let inner = go(graph, first, part, depth)?;
                Builder::new(graph, "part").apply(*slice, &[inner]).map(Some)
            }
        },
        Kind::Unary(function) => {
            let inner = go(graph, first, part, depth)?;
            Builder::new(graph, "part").unary(function, inner).map(Some)
        }
        kind if kind.is_renaming() => {
            let Some(axis) = same_axis(&graph.fact(first).shape, shape, part.axis) else { return Ok(None) };
            let inner = go(graph, first, Part { axis, ..part }, depth)?;
            let mut shape = shape.clone();
            shape.0[part.axis] = Dim::Fixed(part.len);
            Builder::new(graph, "part").reshape(inner, shape).map(Some)
        }
        _ => Ok(None),
    }
}

fn joined(
    graph: &mut Graph,
    concat: Concat,
    inputs: &[ValueId],
    shape: &Shape,
    part: Part,
    depth: usize,
) -> Result<Option<ValueId>, GraphError> {
    let mut parts = Vec::new();
    if shape.axis(concat.axis) == Some(part.axis) {
        let mut before = 0;
        for &input in inputs {
            let size = graph.fact(input).shape.0.get(part.axis).map_or(0, |d| d.at(1));
            let (from, to) = (part.start.max(before), (part.start + part.len).min(before + size));
            if from < to {
                parts.push(go(graph, input, Part { start: from - before, len: to - from, ..part }, depth)?);
            }
            before += size;
        }
    } else {
        for &input in inputs {
            parts.push(go(graph, input, part, depth)?);
        }
    }
    match parts.as_slice() {
        [] => Ok(None),
        &[only] => Ok(Some(only)),
        parts => Builder::new(graph, "part").apply(concat, parts).map(Some),
    }
}

/// Returns the axis of `from` that corresponds to axis `at` of `to`, a reshaped version with the same elements.
pub(super) fn same_axis(from: &Shape, to: &Shape, at: usize) -> Option<usize> {
    let inside = |shape: &Shape, axis: usize| shape.0[axis + 1..].iter().map(|d| d.at(1)).product::<usize>();
    (0..from.rank()).find(|&axis| from.0[axis] == to.0[at] && inside(from, axis) == inside(to, at))
}

/// Returns a value of the same elements that does not depend on those which a slice of it leaves out, if it is sliced
/// from a concatenation.
///
/// # Errors
/// If the graph is too large.
pub(super) fn alone(graph: &mut Graph, value: ValueId) -> Result<ValueId, GraphError> {
    let mut at = value;
    for _ in 0..MOST_DEEP {
        let Some(node) = graph.producer(at).map(|id| graph.node(id).clone()) else { break };
        let Some(input) = node.inputs.first().copied().flatten() else { break };
        match node.op.kind() {
            Kind::Slice(slice) if slice.step == 1 => {
                let part = Part { axis: slice.axis, start: slice.start, len: slice.len };
                let found = narrow(graph, input, part)?;
                if found != input {
                    let same = graph.producer(found).is_some_and(|id| graph.node(id).op.same_as(&*node.op));
                    return Ok(if same { value } else { found });
                }
            }
            Kind::Transpose(_) | Kind::Unary(_) => {}
            kind if kind.is_renaming() => {}
            _ => break,
        }
        at = input;
    }
    Ok(value)
}

/// Appends the value before the sigmoid, if every part of the value goes through one.
///
/// # Errors
/// If the graph is too large.
pub(super) fn before_sigmoid(graph: &mut Graph, value: ValueId) -> Result<Option<ValueId>, GraphError> {
    before(graph, value, MOST_DEEP)
}

fn before(graph: &mut Graph, value: ValueId, depth: usize) -> Result<Option<ValueId>, GraphError> {
    if let Some((scores, Activation::Sigmoid)) = decomposed_softmax::activation(graph, value) {
        return Ok(Some(scores));
    }
    let Some(node) = graph.producer(value).map(|id| graph.node(id).clone()).filter(|_| depth > 0) else {
        return Ok(None);
    };
    let kind = node.op.kind();
    if kind == Kind::Unary(UnaryFunction::Sigmoid) {
        return Ok(node.inputs.first().copied().flatten());
    }
    // If only a part of the input goes through sigmoids, that part is sliced first.
    if let (Kind::Slice(slice), Some(input)) = (kind, node.inputs.first().copied().flatten()) {
        let part = Part { axis: slice.axis, start: slice.start, len: slice.len };
        let taken = if slice.step == 1 { narrow(graph, input, part)? } else { value };
        let same = |id: Option<NodeId>| id.is_some_and(|id| graph.node(id).op.same_as(&*node.op));
        if !same(graph.producer(taken)) {
            return before(graph, taken, depth - 1);
        }
    }
    if !(kind.is_renaming() || matches!(kind, Kind::Concat(_) | Kind::Transpose(_) | Kind::Slice(_))) {
        return Ok(None);
    }
    let mut inputs = Vec::new();
    for &input in node.inputs.iter().flatten() {
        match before(graph, input, depth - 1)? {
            Some(input) => inputs.push(input),
            None => return Ok(None),
        }
    }
    let shape = graph.fact(value).shape.clone();
    let mut b = Builder::new(graph, "before_sigmoid");
    let again = match kind {
        Kind::Concat(op) => b.apply(*op, &inputs),
        Kind::Slice(op) => b.apply(*op, &inputs),
        Kind::Transpose(op) => b.apply(op.clone(), &inputs),
        _ => b.apply(Reshape { shape }, &inputs),
    };
    again.map(Some)
}

/// Returns the values that are concatenated along an axis, each with its size along it.
pub(super) fn along(graph: &Graph, value: ValueId, axis: usize) -> Vec<(ValueId, usize)> {
    let shape = &graph.fact(value).shape;
    let size = shape.0.get(axis).map_or(0, |d| d.at(1));
    let whole = vec![(value, size)];
    let Some(node) = graph.producer(value).map(|id| graph.node(id)) else { return whole };
    let inputs: Vec<ValueId> = node.inputs.iter().copied().flatten().collect();
    let inner = match node.op.kind() {
        Kind::Concat(concat) if shape.axis(concat.axis) == Some(axis) => {
            return inputs.iter().flat_map(|&input| along(graph, input, axis)).collect();
        }
        Kind::Concat(_) => {
            let found = inputs.iter().map(|&input| along(graph, input, axis)).find(|found| found.len() > 1);
            return found.unwrap_or(whole);
        }
        Kind::Transpose(transpose) => transpose.perm.get(axis).copied(),
        Kind::Slice(slice) => Some(axis).filter(|_| slice.axis != axis),
        Kind::Unary(_) => Some(axis),
        kind if kind.is_renaming() => {
            inputs.first().and_then(|&i| same_axis(&graph.fact(i).shape, shape, axis))
        }
        _ => None,
    };
    match (inner, inputs.first()) {
        (Some(axis), Some(&input)) => {
            let found = along(graph, input, axis);
            if found.len() > 1 { found } else { whole }
        }
        _ => whole,
    }
}
