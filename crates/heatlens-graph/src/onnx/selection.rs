//! Choices that a detector makes while it runs: the best boxes (`TopK`), those above a threshold (`NonZero`), those
//! that do not overlap (`NonMaxSuppression`).
//!
//! The number of chosen boxes depends on the image, and a choice has no derivative. Its indices and counts are unknown
//! ([`Slot::Chosen`]), and an array that they select from is read as a whole: all its rows are *candidates*. Decoding
//! the candidates gives every box that the model could return. This is right as long as each row is computed from itself
//! alone, so candidates are followed only through operators that work element by element or rearrange; a value computed
//! from several rows is unknown again.

use super::proto::NodeProto;
use super::scope::{Outputs, Reading, Slot};
use crate::builder::Builder;
use crate::error::OpError;
use crate::fact::{DType, Dim, Shape};
use crate::graph::ValueId;
use crate::op::Kind;
use crate::op::concat::Concat;

/// Operators whose output elements each depend on one element of every input.
const ELEMENTWISE: [&str; 36] = [
    "Abs",
    "Add",
    "And",
    "Cast",
    "Ceil",
    "Clip",
    "Div",
    "Equal",
    "Exp",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "Identity",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Reciprocal",
    "Relu",
    "Round",
    "Sigmoid",
    "Sqrt",
    "Sub",
    "Sum",
    "Tanh",
    "Where",
    "Xor",
];
/// Operators that keep the elements along an axis in order if the axis keeps its size.
const ARRANGING: [&str; 4] = ["Flatten", "Reshape", "Squeeze", "Unsqueeze"];
/// Operators of a network's layers.
const LAYERS: [&str; 9] = [
    "Attention",
    "BatchNormalization",
    "Conv",
    "Gemm",
    "GridSample",
    "LayerNormalization",
    "MaxRoiPool",
    "RoiAlign",
    "Softmax",
];

/// Indices or counts that are not the places of a mask.
const UNKNOWN: Slot = Slot::Chosen { depth: 0 };

/// A node read as part of a choice.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) outputs: Outputs,
    /// Reason to report if nothing that can be explained is left.
    pub(super) error: Option<OpError>,
}

/// Reads a node that makes a choice or uses one; `None` for other nodes.
pub(super) fn read(reading: &mut Reading, node: &NodeProto) -> Option<Read> {
    if !matches!(node.domain(), "" | "ai.onnx") {
        return None;
    }
    let chosen = |i: usize| node.input.get(i).is_some_and(|name| is_chosen(reading, name));
    let computed = |i: usize| {
        let slot = node.input.get(i).and_then(|name| reading.slots.get(name));
        slot.and_then(Slot::id).is_some_and(|id| reading.graph.constant(id).is_none())
    };
    let data_chosen = chosen(0);
    let outputs = match node.op_type() {
        "NonMaxSuppression" => return Some(choice(vec![UNKNOWN])),
        "NonZero" if computed(0) => {
            let depth = shape(reading, node.input.first()?)?.rank();
            return Some(choice(vec![Slot::Chosen { depth }]));
        }
        "TopK" if computed(0) => {
            let axis = axis_of(reading, node, -1)?;
            let values = whole(reading, node, 0, axis);
            return Some(choice(vec![values, UNKNOWN]));
        }
        _ if !node.input.iter().any(|name| is_chosen(reading, name)) => return None,
        "Gather" if !data_chosen && depth(reading, node, 1) < 2 => {
            vec![whole(reading, node, 0, axis_of(reading, node, 0)?)]
        }
        "GatherElements" if !data_chosen => vec![whole(reading, node, 0, axis_of(reading, node, 0)?)],
        "GatherND" if !data_chosen && depth(reading, node, 1) == 1 => vec![whole(reading, node, 0, 0)],
        "Slice" if !data_chosen => vec![whole(reading, node, 0, sliced_axis(reading, node)?)],
        "Transpose" => vec![Slot::Chosen { depth: depth(reading, node, 0) }],
        _ => vec![UNKNOWN; node.output.len()],
    };
    Some(Read { outputs, error: second_stage(node) })
}

fn choice(outputs: Outputs) -> Read {
    Read { outputs, error: Some(OpError::Unsupported("a choice that depends on the image".to_owned())) }
}

fn is_chosen(reading: &Reading, name: &str) -> bool {
    matches!(reading.slots.get(name), Some(Slot::Chosen { .. }))
}

fn depth(reading: &Reading, node: &NodeProto, index: usize) -> usize {
    match node.input.get(index).and_then(|name| reading.slots.get(name)) {
        Some(Slot::Chosen { depth }) => *depth,
        _ => 0,
    }
}

/// Returns the shape of a known or computed value.
fn shape(reading: &Reading, name: &str) -> Option<Shape> {
    match reading.slots.get(name)? {
        Slot::Value(id) => Some(reading.graph.fact(*id).shape.clone()),
        Slot::Stored(tensor) => Some(Shape::fixed(tensor.shape())),
        _ => None,
    }
}

fn axis_of(reading: &Reading, node: &NodeProto, default: i64) -> Option<usize> {
    let axis = node.attribute.iter().find(|a| a.name() == "axis").map_or(default, |a| a.i());
    shape(reading, node.input.first()?)?.axis(axis)
}

/// Returns the only axis of a `Slice`.
fn sliced_axis(reading: &Reading, node: &NodeProto) -> Option<usize> {
    let axis = match node.input.get(3).filter(|name| !name.is_empty()) {
        Some(name) => match reading.slots.get(name)? {
            Slot::Stored(tensor) => match tensor.as_i64()? {
                &[axis] => axis,
                _ => return None,
            },
            _ => return None,
        },
        None => 0,
    };
    shape(reading, node.input.first()?)?.axis(axis)
}

/// Returns the input that a node selects from along `axis`; its first output is a list of candidates.
fn whole(reading: &mut Reading, node: &NodeProto, index: usize, axis: usize) -> Slot {
    let slot = node.input.get(index).and_then(|name| reading.slots.get(name)).cloned();
    match (slot, node.output.first()) {
        (Some(slot @ (Slot::Value(_) | Slot::Stored(_))), Some(output)) => {
            reading.candidates.insert(output.clone(), axis);
            slot
        }
        _ => UNKNOWN,
    }
}

/// Returns the axes of the candidates among a node's inputs.
fn axes<'a>(reading: &'a Reading, node: &'a NodeProto) -> impl Iterator<Item = (&'a str, usize)> {
    node.input.iter().filter_map(|name| Some((name.as_str(), *reading.candidates.get(name)?)))
}

/// Marks the outputs of a node that was read as usual: as candidates if its inputs are, as unknown if they mix several
/// candidates. Returns the reason if a network goes on from there.
pub(super) fn follow(reading: &mut Reading, node: &NodeProto, outputs: &mut Outputs) -> Option<OpError> {
    if node.op_type() == "Shape" || axes(reading, node).next().is_none() {
        return None;
    }
    if let Some(slot) = copies(reading, node) {
        *outputs = vec![slot];
    }
    for (output, slot) in node.output.iter().zip(outputs.iter_mut()) {
        if !matches!(slot, Slot::Value(_) | Slot::Stored(_)) {
            continue;
        }
        match axis_after(reading, node, slot) {
            Some(axis) => {
                reading.candidates.insert(output.clone(), axis);
            }
            None => *slot = UNKNOWN,
        }
    }
    second_stage(node)
}

/// Returns the reason why a node that cannot be read is refused, if it is a layer that reads candidates.
pub(super) fn layer_behind(reading: &Reading, node: &NodeProto) -> Option<OpError> {
    axes(reading, node).next().and_then(|_| second_stage(node))
}

fn second_stage(node: &NodeProto) -> Option<OpError> {
    LAYERS.contains(&node.op_type()).then_some(OpError::SecondStage)
}

/// Returns the rows of a `Concat` that repeats the same candidates.
fn copies(reading: &Reading, node: &NodeProto) -> Option<Slot> {
    let rows = |(_, axis): (&str, usize)| axis == 0;
    let along_rows = node.attribute.iter().any(|a| a.name() == "axis" && a.i() == 0);
    if node.op_type() != "Concat" || !along_rows || !axes(reading, node).all(rows) {
        return None;
    }
    let mut ids = node.input.iter().map(|name| reading.slots.get(name).and_then(Slot::id));
    let first = ids.next()??;
    (node.input.len() > 1 && ids.all(|id| id == Some(first))).then_some(Slot::Value(first))
}

/// Returns the axis of the candidates in an output.
fn axis_after(reading: &Reading, node: &NodeProto, slot: &Slot) -> Option<usize> {
    let after = match slot {
        Slot::Value(id) => reading.graph.fact(*id).shape.clone(),
        Slot::Stored(tensor) => Shape::fixed(tensor.shape()),
        _ => return None,
    };
    let mut found = axes(reading, node).map(|(name, axis)| {
        let before = shape(reading, name)?;
        moved(reading, node, (&before, axis), &after)
    });
    let first = found.next()??;
    found.all(|axis| axis == Some(first)).then_some(first)
}

fn moved(
    reading: &Reading,
    node: &NodeProto,
    (before, axis): (&Shape, usize),
    after: &Shape,
) -> Option<usize> {
    let same = |at: usize| (after.0.get(at)? == before.0.get(axis)?).then_some(at);
    match node.op_type() {
        "Concat" => (axis < after.rank()).then_some(axis),
        "Slice" | "Split" => same(axis),
        "Transpose" => {
            let perm = node.attribute.iter().find(|a| a.name() == "perm");
            match perm {
                Some(perm) => perm.ints.iter().position(|&p| usize::try_from(p).ok() == Some(axis)),
                None => before.rank().checked_sub(axis + 1),
            }
        }
        "Gather" => {
            let at = axis_of(reading, node, 0)?;
            let indices = shape(reading, node.input.get(1)?)?.rank();
            match at.cmp(&axis) {
                std::cmp::Ordering::Less => same((axis + indices).checked_sub(1)?),
                std::cmp::Ordering::Equal => None,
                std::cmp::Ordering::Greater => same(axis),
            }
        }
        op if ELEMENTWISE.contains(&op) => same((axis + after.rank()).checked_sub(before.rank())?),
        op if ARRANGING.contains(&op) => {
            let inside =
                |shape: &Shape, at: usize| shape.0[at + 1..].iter().map(|d| d.at(1)).product::<usize>();
            (0..after.rank()).find(|&at| same(at).is_some() && inside(after, at) == inside(before, axis))
        }
        _ => None,
    }
}

/// Returns the values that a model's outputs are selected from, as lists of one image: boxes of four numbers (1×P×4)
/// first, then numbers (1×P×K), `K` for each box.
pub(super) fn lists(reading: &mut Reading, outputs: &[String]) -> Vec<ValueId> {
    let candidate = |name: &String| {
        (reading.candidates.get(name) == Some(&0)).then(|| reading.slots.get(name)?.id()).flatten()
    };
    let found: Vec<ValueId> = outputs.iter().filter_map(candidate).collect();
    let sizes = |reading: &Reading, id: ValueId| reading.graph.fact(id).shape.clone();
    let boxes = found.iter().copied().find_map(|id| match sizes(reading, id).at(1).as_slice() {
        &[places, 4] if !sizes(reading, id).has_batch() && is_float(reading, id) => Some((id, places)),
        _ => None,
    });
    let Some((boxes, places)) = boxes else { return Vec::new() };
    let mut lists: Vec<ValueId> = shaped(reading, &[boxes], places, 4).into_iter().collect();
    for id in found {
        let shape = sizes(reading, id);
        let numbers = shape.len_per_sample().filter(|_| !shape.has_batch() && shape.rank() == 1);
        let Some(each) = numbers.filter(|n| n.is_multiple_of(places)).map(|n| n / places) else { continue };
        if !is_float(reading, id) {
            continue;
        }
        // The levels of a feature pyramid, one after the other. The numbers of one class after the other are no such
        // levels; they are found where they are computed.
        let parts = parts(reading, id);
        let len = |part: &ValueId| sizes(reading, *part).len_per_sample().unwrap_or(0);
        let by_level = parts.iter().all(|part| len(part).is_multiple_of(each))
            && parts.iter().map(len).all(|len| len != places || each == 1 || parts.len() == 1);
        if by_level {
            lists.extend(shaped(reading, &parts, places, each));
        }
    }
    lists
}

fn is_float(reading: &Reading, id: ValueId) -> bool {
    reading.graph.fact(id).dtype == DType::F32
}

/// Returns the values that a list is concatenated from.
fn parts(reading: &Reading, id: ValueId) -> Vec<ValueId> {
    let graph = &reading.graph;
    let node = graph.producer(id).map(|node| graph.node(node));
    match node.filter(|node| matches!(node.op.kind(), Kind::Concat(_))) {
        Some(node) => node.inputs.iter().flatten().copied().collect(),
        None => vec![id],
    }
}

/// Appends the parts of a list, one after the other, as an array 1×P×`each`.
fn shaped(reading: &mut Reading, parts: &[ValueId], places: usize, each: usize) -> Option<ValueId> {
    let parts: Vec<ValueId> = parts.iter().map(|&part| unflattened(reading, part, each)).collect();
    let mut b = Builder::new(&mut reading.graph, "candidates");
    let mut shaped = Vec::with_capacity(parts.len());
    for part in parts {
        let own = b.shape(part).len_per_sample()? / each;
        shaped.push(b.reshape(part, Shape::fixed(&[1, own, each])).ok()?);
    }
    let list = match shaped.as_slice() {
        &[only] => only,
        all => b.apply(Concat { axis: 1 }, all).ok()?,
    };
    (b.shape(list) == Shape::fixed(&[1, places, each])).then_some(list)
}

/// Returns the rows of `each` numbers that a list was flattened from, so that they can be traced further back.
fn unflattened(reading: &Reading, list: ValueId, each: usize) -> ValueId {
    let graph = &reading.graph;
    let node = graph.producer(list).map(|node| graph.node(node));
    let node = node.filter(|node| node.op.kind() == Kind::Reshape);
    let rows = node.and_then(|node| node.inputs.first().copied().flatten());
    rows.filter(|&rows| graph.fact(rows).shape.0.last() == Some(&Dim::Fixed(each))).unwrap_or(list)
}
