//! Softmax and sigmoid written out in simpler operators, as some exporters do.

use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Graph, Node, ValueId};

use super::Activation;

/// Returns the input and the kind of the activation whose result is `value`.
pub(super) fn activation(graph: &Graph, value: ValueId) -> Option<(ValueId, Activation)> {
    softmax(graph, value).or_else(|| log_softmax(graph, value)).or_else(|| sigmoid(graph, value))
}

/// Recognises eᶻ ÷ Σ eᶻ.
fn softmax(graph: &Graph, value: ValueId) -> Option<(ValueId, Activation)> {
    let (power, sum) = binary(graph, value, BinaryFunction::Div)?;
    if reduce(graph, sum, ReduceFunction::Sum)? != power {
        return None;
    }
    let exponent = unary(graph, power, UnaryFunction::Exp)?;
    Some((without_maximum(graph, exponent), Activation::Softmax))
}

/// Recognises z − log Σ eᶻ, or the logarithm of a written-out softmax.
fn log_softmax(graph: &Graph, value: ValueId) -> Option<(ValueId, Activation)> {
    if let Some(inner) = unary(graph, value, UnaryFunction::Log) {
        return softmax(graph, inner).map(|(logits, _)| (logits, Activation::LogSoftmax));
    }
    let (exponent, log) = binary(graph, value, BinaryFunction::Sub)?;
    let sum = unary(graph, log, UnaryFunction::Log)?;
    let power = reduce(graph, sum, ReduceFunction::Sum)?;
    let same = unary(graph, power, UnaryFunction::Exp)? == exponent;
    same.then(|| (without_maximum(graph, exponent), Activation::LogSoftmax))
}

/// Recognises 1 ÷ (1 + e⁻ᶻ).
fn sigmoid(graph: &Graph, value: ValueId) -> Option<(ValueId, Activation)> {
    let below = unary(graph, value, UnaryFunction::Reciprocal).or_else(|| {
        let (one, below) = binary(graph, value, BinaryFunction::Div)?;
        is_one(graph, one).then_some(below)
    })?;
    let (a, b) = binary(graph, below, BinaryFunction::Add)?;
    let power = if is_one(graph, a) { b } else { Some(a).filter(|_| is_one(graph, b))? };
    let negated = unary(graph, power, UnaryFunction::Exp)?;
    Some((unary(graph, negated, UnaryFunction::Neg)?, Activation::Sigmoid))
}

/// Returns z of z − max z: the maximum only keeps the powers finite.
fn without_maximum(graph: &Graph, exponent: ValueId) -> ValueId {
    let shifted = binary(graph, exponent, BinaryFunction::Sub);
    let is_maximum = |&(z, max): &(ValueId, ValueId)| reduce(graph, max, ReduceFunction::Max) == Some(z);
    shifted.filter(is_maximum).map_or(exponent, |(z, _)| z)
}

fn producer(graph: &Graph, value: ValueId) -> Option<&Node> {
    graph.producer(value).map(|id| graph.node(id))
}

fn unary(graph: &Graph, value: ValueId, function: UnaryFunction) -> Option<ValueId> {
    let node = producer(graph, value)?;
    (node.op.kind() == Kind::Unary(function)).then(|| node.inputs.first().copied().flatten())?
}

fn binary(graph: &Graph, value: ValueId, function: BinaryFunction) -> Option<(ValueId, ValueId)> {
    let node = producer(graph, value)?;
    let &[Some(a), Some(b)] = node.inputs.as_slice() else { return None };
    (node.op.kind() == Kind::Binary(function)).then_some((a, b))
}

/// Returns the input of a reduction over one axis that keeps the axis with size 1.
fn reduce(graph: &Graph, value: ValueId, function: ReduceFunction) -> Option<ValueId> {
    let node = producer(graph, value)?;
    let Kind::Reduce(reduce) = node.op.kind() else { return None };
    (reduce.function == function && reduce.keep_dims).then_some(())?;
    let input = node.inputs.first().copied().flatten()?;
    let over_one = reduce.reduced(&graph.fact(input).shape).ok()?.iter().filter(|&&gone| gone).count() == 1;
    over_one.then_some(input)
}

fn is_one(graph: &Graph, value: ValueId) -> bool {
    graph
        .constant(value)
        .and_then(|t| t.as_f32())
        .is_some_and(|v| !v.is_empty() && v.iter().all(|&v| v == 1.0))
}
