//! Positions of the maxima of a pooling: whole numbers that depend on the image, which only an unpooling reads.
//!
//! They are not computed: [`Positions`] says which pooling they belong to, and [`MaxUnpool`] pools again. PyTorch counts
//! them within each channel and ONNX from the first element of the array, so PyTorch's exporter writes the difference:
//! it subtracts the positions of the first elements, which it gets from a pooling of windows of one element, and adds
//! them again before it writes the values to a list of zeros with `ScatterND`. Files that heatlens writes have the
//! derivative of a max pooling and its transpose: `ScatterElements` and `GatherElements` of lists.

use super::batch_index::SAMPLES;
use super::proto::NodeProto;
use super::scope::{Outputs, Problem, Reading, Scope, Slot};
use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::graph::{Graph, ValueId};
use crate::op::Kind;
use crate::op::max_unpool::MaxUnpool;
use crate::op::pool::MaxPool;
use crate::op::pool_grad::{MaxPoolGrad, MaxPoolSelect};
use crate::op::reshape::Reshape;
use crate::tensor::Tensor;

/// Positions in a pooled value.
#[derive(Clone, Debug)]
pub(super) enum Positions {
    /// Of the maxima of the value `x`, in the order of the pooled values.
    Maxima {
        pool: MaxPool,
        x: ValueId,
        /// True if they are counted within each channel of each sample instead of from the first element.
        in_channel: bool,
        form: Form,
    },
    /// Of the first element of each channel of each sample of a value.
    Channels(ValueId),
}

/// Shape of an array of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// That of the pooled values.
    Pooled,
    List,
    /// A list of rows of one number.
    Column,
}

impl Positions {
    /// Returns the positions of the maxima of `x`, as `MaxPool` gives them.
    pub(super) fn new(pool: MaxPool, x: ValueId) -> Self {
        Self::Maxima { pool, x, in_channel: false, form: Form::Pooled }
    }
}

/// Reads a node that rearranges positions, or reads or writes values there; `None` for other nodes.
pub(super) fn read(scope: &mut Scope<'_>) -> Result<Option<Outputs>, Problem> {
    let (reading, node) = (&*scope.reading, scope.node);
    let moved = match node.op_type() {
        "Slice" => channels(reading, node),
        "Sub" => within_channels(reading, node),
        "Add" => [[0, 1], [1, 0]].into_iter().find_map(|[a, b]| from_first(reading, node, a, b)),
        "Reshape" => reshaped(reading, node),
        "Unsqueeze" => column(reading, node),
        "ScatterND" => return scatter(scope, Form::Column),
        "ScatterElements" => return scatter(scope, Form::List),
        "GatherElements" => return take(scope),
        _ => None,
    };
    Ok(moved.map(|positions| vec![Slot::Positions(positions)]))
}

fn positions<'a>(reading: &'a Reading, node: &NodeProto, index: usize) -> Option<&'a Positions> {
    match reading.slots.get(node.input.get(index)?)? {
        Slot::Positions(positions) => Some(positions),
        _ => None,
    }
}

/// Returns an array that is known, for one of the batch sizes [`SAMPLES`] if it enumerates the samples.
fn known(reading: &Reading, node: &NodeProto, index: usize, world: usize) -> Option<Tensor> {
    match reading.slots.get(node.input.get(index)?)? {
        Slot::Stored(tensor) => Some(tensor.clone()),
        Slot::BatchIndex(arrays) => Some(arrays[world].clone()),
        Slot::Value(id) => reading.graph.constant(*id).cloned(),
        _ => None,
    }
}

fn ints(reading: &Reading, node: &NodeProto, index: usize) -> Option<Vec<i64>> {
    known(reading, node, index, 0)?.as_i64().map(<[i64]>::to_vec)
}

/// Positions of the first elements: the first element of each channel of a pooling that keeps every element.
fn channels(reading: &Reading, node: &NodeProto) -> Option<Positions> {
    let Positions::Maxima { pool, x, in_channel: false, form: Form::Pooled } = positions(reading, node, 0)?
    else {
        return None;
    };
    let window = &pool.window;
    let keeps = window.kernel.iter().chain(&window.strides).all(|&size| size == 1)
        && window.pads_begin.iter().chain(&window.pads_end).all(|&pad| pad == 0);
    let n = window.rank();
    let axes: Vec<i64> = (2i64..).take(n).collect();
    let first = ints(reading, node, 1)? == vec![0; n]
        && ints(reading, node, 2)? == vec![1; n]
        && ints(reading, node, 3)? == axes
        && node.input.get(4).is_none_or(|steps| steps.is_empty());
    (keeps && first).then_some(Positions::Channels(*x))
}

fn within_channels(reading: &Reading, node: &NodeProto) -> Option<Positions> {
    match (positions(reading, node, 0)?, positions(reading, node, 1)?) {
        (
            Positions::Maxima { pool, x, in_channel: false, form: form @ Form::Pooled },
            Positions::Channels(other),
        ) if x == other => {
            Some(Positions::Maxima { pool: pool.clone(), x: *x, in_channel: true, form: *form })
        }
        _ => None,
    }
}

/// Adds the positions of the first elements, which are known numbers.
fn from_first(reading: &Reading, node: &NodeProto, index: usize, starts: usize) -> Option<Positions> {
    let Positions::Maxima { pool, x, in_channel: true, form: form @ Form::Pooled } =
        positions(reading, node, index)?
    else {
        return None;
    };
    let shape = &reading.graph.fact(*x).shape;
    let are_starts = |world: usize| {
        let sizes = shape.at(SAMPLES[world]);
        let starts = known(reading, node, starts, world)?;
        let area: usize = sizes.get(2..)?.iter().product();
        let mut expected = sizes.get(..2)?.to_vec();
        expected.resize(sizes.len(), 1);
        let start = |(i, &start): (usize, &i64)| usize::try_from(start).ok() == i.checked_mul(area);
        Some(starts.shape() == expected && starts.as_i64()?.iter().enumerate().all(start))
    };
    (are_starts(0)? && are_starts(1)?).then(|| Positions::Maxima {
        pool: pool.clone(),
        x: *x,
        in_channel: false,
        form: *form,
    })
}

fn reshaped(reading: &Reading, node: &NodeProto) -> Option<Positions> {
    let form = match ints(reading, node, 1)?.as_slice() {
        [-1] => Form::List,
        [-1, 1] => Form::Column,
        _ => return None,
    };
    in_form(positions(reading, node, 0)?, form)
}

fn column(reading: &Reading, node: &NodeProto) -> Option<Positions> {
    let before = positions(reading, node, 0)?;
    let list = matches!(before, Positions::Maxima { form: Form::List, .. });
    let last = matches!(ints(reading, node, 1)?.as_slice(), [-1 | 1]);
    (list && last).then(|| in_form(before, Form::Column)).flatten()
}

fn in_form(positions: &Positions, form: Form) -> Option<Positions> {
    match positions {
        Positions::Maxima { pool, x, in_channel, .. } => {
            Some(Positions::Maxima { pool: pool.clone(), x: *x, in_channel: *in_channel, form })
        }
        Positions::Channels(_) => None,
    }
}

/// Returns the pooling and its input, if the second input holds positions from the first element in this form.
fn in_list(scope: &Scope<'_>, expected: Form) -> Option<(MaxPool, ValueId)> {
    match positions(scope.reading, scope.node, 1)? {
        Positions::Maxima { pool, x, in_channel: false, form } if *form == expected => {
            Some((pool.clone(), *x))
        }
        _ => None,
    }
}

/// Returns the shape of the pooled value.
fn pooled(graph: &Graph, pool: &MaxPool, x: ValueId) -> Result<Shape, OpError> {
    let facts = crate::op::Operator::infer(pool, &[Some(graph.fact(x))])?;
    Ok(facts.into_iter().next().map(|fact| fact.shape).unwrap_or_default())
}

/// Writes a list of values to the positions in a list of zeros, or adds them there.
fn scatter(scope: &mut Scope<'_>, form: Form) -> Result<Option<Outputs>, Problem> {
    let Some((pool, x)) = in_list(scope, form) else { return Ok(None) };
    let reduction = scope.node.attribute.iter().find(|a| a.name() == "reduction").map(|a| a.s().to_vec());
    let adds = reduction.as_deref() == Some(b"add");
    let known = adds || reduction.is_none_or(|reduction| reduction == b"none");
    let (list, values) = (scope.input(0)?, scope.input(2)?);
    let graph = &scope.reading.graph;
    let (whole, flat) = (graph.fact(x).shape.clone(), graph.fact(list).shape.clone());
    let pooled = pooled(graph, &pool, x)?;
    let fits = flat == list_of(&whole) && graph.fact(values).shape == list_of(&pooled);
    if !known || !fits || !is_zero(graph, list) {
        let what = "writing to positions of maxima other than unpooling (values in a list of zeros)";
        return Err(OpError::Unsupported(what.to_owned()).into());
    }
    let values = scope.step(Reshape { shape: pooled }, &[values])?;
    let unpooled = match adds && pool.window.overlaps() {
        true => scope.step(MaxPoolGrad { pool }, &[x, values])?,
        false => scope.step(MaxUnpool { pool }, &[x, values])?,
    };
    scope.finish(Reshape { shape: flat }, &[Some(unpooled)]).map(Some)
}

/// Reads the elements of a list at the positions.
fn take(scope: &mut Scope<'_>) -> Result<Option<Outputs>, Problem> {
    let Some((pool, x)) = in_list(scope, Form::List) else { return Ok(None) };
    let list = scope.input(0)?;
    let graph = &scope.reading.graph;
    let whole = graph.fact(x).shape.clone();
    if graph.fact(list).shape != list_of(&whole) {
        let what = "reading at positions of maxima of another value";
        return Err(OpError::Unsupported(what.to_owned()).into());
    }
    let shape = list_of(&pooled(graph, &pool, x)?);
    let values = scope.step(Reshape { shape: whole }, &[list])?;
    let taken = scope.step(MaxPoolSelect { pool }, &[x, values])?;
    scope.finish(Reshape { shape }, &[Some(taken)]).map(Some)
}

/// Returns the shape of the elements as a list.
fn list_of(shape: &Shape) -> Shape {
    let size = shape.at(1).iter().product();
    Shape(vec![if shape.has_batch() { Dim::Batch(size) } else { Dim::Fixed(size) }])
}

/// True if all elements of a value are known to be 0.
fn is_zero(graph: &Graph, mut value: ValueId) -> bool {
    loop {
        if let Some(tensor) = graph.constant(value) {
            return tensor.as_f32().is_some_and(|values| values.iter().all(|&v| v == 0.0));
        }
        let node = graph.producer(value).map(|node| graph.node(node));
        let node =
            node.filter(|node| matches!(node.op.kind(), Kind::Reshape | Kind::Expand | Kind::Identity));
        match node.and_then(|node| node.inputs.first().copied().flatten()) {
            Some(input) => value = input,
            None => return false,
        }
    }
}
