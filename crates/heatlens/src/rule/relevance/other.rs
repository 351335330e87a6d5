//! Rules for operators without weights.
//!
//! - Operators that only move or select values (reshapes, slices, concatenation, max-pools, which are
//!   winner-takes-all) move relevance in the same way, by their derivative.
//! - Sums and means distribute it in proportion to their terms.
//! - Element-wise activations pass it on unchanged.
//! - For a product of two values: if one is a gate (such as a softmax or sigmoid), the other receives all (Arras et
//!   al. 2019, "Explaining and Interpreting LSTMs"; for attention Ali et al. 2022, "XAI for Transformers: Better
//!   Explanations through Conservative Propagation"); otherwise both receive half (Achtibat et al. 2024,
//!   "AttnLRP").
//! - The divisor of a normalization is treated as a constant (Ali et al. 2022): the dividend receives all.

use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::global_pool::GlobalPoolFunction;
use heatlens_graph::op::layer_normalization::LayerNormalization;
use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::{Kind, at, require_value};
use heatlens_graph::{Backward, Builder, Graph, InputGrads, Node, OpError, ValueId};

use super::layer::over;
use super::{Built, STABILISER};
use crate::rule::Network;

/// Treatment of relevance by an operator.
enum Way {
    /// Like a gradient, by the derivative.
    Move,
    /// In proportion to the terms of a sum.
    Divide,
    /// Unchanged, to every requested input.
    Pass,
    /// To one of the factors only.
    Factor(usize),
    /// Half to each factor.
    Halves,
    /// Like a layer normalization with a constant divisor.
    Normalise,
}

/// Passes relevance on unchanged.
pub(super) fn pass(wanted: &[bool], relevance: ValueId) -> Vec<Option<ValueId>> {
    wanted.iter().map(|&wanted| wanted.then_some(relevance)).collect()
}

/// Builds the relevances of the inputs, given that of the output.
pub(super) fn shares(
    network: &Network,
    b: &mut Builder<'_>,
    node: &Node,
    relevance: ValueId,
    wanted: &[bool],
) -> InputGrads {
    let way = way(network, b.graph(), node).ok_or_else(|| {
        let what =
            "there is no rule to propagate relevance through this operator; gradient and grad_cam support it";
        at(node, OpError::Invalid(what.to_owned()))
    })?;
    match way {
        Way::Move => node.op.vjp(b, &Backward { node, output_grads: &[Some(relevance)], wanted }),
        Way::Divide => divide(b, node, relevance, wanted, 1.0),
        Way::Pass => Ok(pass(wanted, relevance)),
        Way::Halves => divide(b, node, relevance, wanted, 0.5),
        Way::Factor(position) => {
            let only: Vec<bool> = wanted.iter().enumerate().map(|(i, &w)| w && i == position).collect();
            match node.op.kind() {
                Kind::MatMul => divide(b, node, relevance, &only, 1.0),
                _ => Ok(pass(&only, relevance)),
            }
        }
        Way::Normalise => {
            let mut shares = vec![None; node.inputs.len()];
            if let (Kind::LayerNormalization(norm), Some(true)) = (node.op.kind(), wanted.first()) {
                shares[0] = Some(normalise(b, node, *norm, relevance)?);
            }
            Ok(shares)
        }
    }
}

/// Returns the treatment of relevance by a node; `None` if there is no rule.
fn way(network: &Network, graph: &Graph, node: &Node) -> Option<Way> {
    use BinaryFunction as F;
    let varies = |i: usize| node.inputs.get(i).copied().flatten().is_some_and(|v| network.varies(v));
    let kind = node.op.kind();
    match kind {
        _ if kind.is_moving() => Some(Way::Move),
        Kind::Cast(_)
        | Kind::Where
        | Kind::MaxPool(_)
        | Kind::MaxUnpool(_)
        | Kind::GlobalPool(GlobalPoolFunction::Max) => Some(Way::Move),
        Kind::AveragePool(_)
        | Kind::BatchNormalization(_)
        | Kind::GlobalPool(GlobalPoolFunction::Average) => Some(Way::Divide),
        Kind::Clip(_) => Some(Way::Pass),
        Kind::LayerNormalization(_) => Some(Way::Normalise),
        Kind::Reduce(reduce) => match reduce.function {
            ReduceFunction::Max | ReduceFunction::Min => Some(Way::Move),
            ReduceFunction::Sum | ReduceFunction::Mean => Some(Way::Divide),
            _ => None,
        },
        Kind::Unary(function) => is_activation(function).then_some(Way::Pass),
        Kind::MatMul => product(network, graph, node),
        Kind::Binary(F::Add | F::Sub) => Some(Way::Divide),
        Kind::Binary(F::Max | F::Min) => Some(Way::Move),
        Kind::Binary(F::PRelu) => Some(Way::Pass),
        Kind::Binary(F::Mul) if varies(0) && varies(1) => product(network, graph, node),
        Kind::Binary(F::Mul) => Some(Way::Divide),
        Kind::Binary(F::Div) => varies(0).then_some(Way::Factor(0)),
        _ => None,
    }
}

/// Returns true for functions whose output has the sign of their input, or that networks use in place of such
/// functions.
fn is_activation(function: UnaryFunction) -> bool {
    use UnaryFunction as F;
    !function.is_flat()
        && !matches!(function, F::Exp | F::Log | F::Sqrt | F::Reciprocal | F::Sin | F::Cos | F::Erf)
}

/// Returns the treatment of a product of two values that depend on the image.
fn product(network: &Network, graph: &Graph, node: &Node) -> Option<Way> {
    let (left, right) = (node.inputs.first().copied()??, node.inputs.get(1).copied()??);
    let [left, right] = [left, right].map(|v| gate_rank(network, graph, v));
    Some(match left.cmp(&right) {
        std::cmp::Ordering::Less => Way::Factor(0),
        std::cmp::Ordering::Greater => Way::Factor(1),
        std::cmp::Ordering::Equal => Way::Halves,
    })
}

/// Returns the rank of a factor as a gate: 2 for probabilities, 1 for other bounded functions, otherwise 0.
fn gate_rank(network: &Network, graph: &Graph, value: ValueId) -> u8 {
    use UnaryFunction as F;
    let value = network.behind(value);
    let Some(node) = graph.producer(value).map(|id| graph.node(id)) else { return 0 };
    match node.op.kind() {
        Kind::Softmax(_) | Kind::Unary(F::Sigmoid | F::HardSigmoid { .. } | F::Exp) => 2,
        Kind::Unary(F::Tanh | F::Erf | F::Softsign) => 1,
        Kind::Where => {
            let parts = node.inputs.iter().skip(1).flatten().filter(|&&v| network.varies(v));
            parts.map(|&v| gate_rank(network, graph, v)).max().unwrap_or(0)
        }
        // A decomposed softmax.
        Kind::Binary(BinaryFunction::Div) => {
            let dividend = node.inputs.first().copied().flatten();
            dividend.map_or(0, |v| if gate_rank(network, graph, v) == 2 { 2 } else { 0 })
        }
        Kind::Clip(clip) => u8::from(clip.min.is_finite() && clip.max.is_finite()),
        _ => 0,
    }
}

/// Distributes the share `part` of the relevance to each requested input in proportion to its terms of the output.
fn divide(b: &mut Builder<'_>, node: &Node, relevance: ValueId, wanted: &[bool], part: f32) -> InputGrads {
    let y = node.outputs[0];
    let mut s = over(b, relevance, y, STABILISER)?;
    if part < 1.0 {
        s = b.scale(s, part)?;
    }
    let grads = node.op.vjp(b, &Backward { node, output_grads: &[Some(s)], wanted })?;
    let mut shares = Vec::with_capacity(grads.len());
    for (input, grad) in node.inputs.iter().zip(grads) {
        shares.push(match (input, grad) {
            (Some(input), Some(grad)) => Some(b.mul(*input, grad)?),
            _ => None,
        });
    }
    Ok(shares)
}

/// Builds x ⊙ ∂/∂x of (x − mean) ÷ deviation · scale + bias at s, with the deviation held constant.
fn normalise(b: &mut Builder<'_>, node: &Node, norm: LayerNormalization, relevance: ValueId) -> Built {
    let x = require_value(node, 0)?;
    let shape = b.shape(x);
    let first = norm.axis_of(&shape).map_err(|e| at(node, e))?;
    let axes: Vec<usize> = (first..shape.rank()).collect();
    let mut s = over(b, relevance, node.outputs[0], STABILISER)?;
    if let Some(scale) = node.inputs.get(1).copied().flatten() {
        s = b.mul(s, scale)?;
    }
    let mean = b.mean(x, &axes, true)?;
    let centred = b.sub(x, mean)?;
    let square = b.mul(centred, centred)?;
    let variance = b.mean(square, &axes, true)?;
    let epsilon = b.scalar(norm.epsilon);
    let sum = b.add(variance, epsilon)?;
    let deviation = b.unary(UnaryFunction::Sqrt, sum)?;
    let level = b.mean(s, &axes, true)?;
    let tilt = b.sub(s, level)?;
    let slope = b.div(tilt, deviation)?;
    b.mul(x, slope)
}
