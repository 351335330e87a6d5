//! The activations that guided backpropagation and deconvnet support.
//!
//! Both are defined for rectifiers: ReLU, its leaky variants, clips that start at 0, and the maximum of a value and
//! 0. Linear layers, pools, normalizations and products keep their derivative. The literature has no such rule for
//! other activations, which are rejected with an error that names them. The only exception is a sigmoid used
//! exclusively to weight another value, as in squeeze-and-excitation: as a factor of a product, it keeps its
//! derivative.

use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::{Kind, at, require_value};
use heatlens_graph::{Graph, GraphError, Node, OpError, ValueId};

use crate::rule::Network;

/// Returns true if the node is a rectifier, and false if it keeps its derivative.
///
/// # Errors
/// If it is an activation that `rule` does not support.
pub(super) fn is_rectifier(
    network: &Network,
    graph: &Graph,
    node: &Node,
    rule: &str,
) -> Result<bool, GraphError> {
    let refuse = |what: &str| {
        let advice = "the rule is defined for rectifiers only; gradient and grad_cam accept any activation";
        Err(at(node, OpError::Unsupported(format!("{rule} through {what} ({advice})"))))
    };
    use UnaryFunction as F;
    match node.op.kind() {
        Kind::Unary(function) => match function {
            F::Relu | F::LeakyRelu(_) | F::ThresholdedRelu(_) => Ok(true),
            F::Sigmoid | F::HardSigmoid { .. } if weighs_another(network, graph, node)? => Ok(false),
            F::Sqrt if roots_its_addend(network, graph, node)? => {
                refuse("a value that is added to the root of its own square, as in SquarePlus")
            }
            F::Neg | F::Exp | F::Log | F::Sqrt | F::Reciprocal => Ok(false),
            other if other.is_flat() => Ok(false),
            other => refuse(other.name()),
        },
        Kind::Clip(_) if gates_itself(network, graph, node)? => {
            refuse("a value that is multiplied with its own clip, as in HardSwish")
        }
        Kind::Clip(&Clip { min: 0.0, .. }) => Ok(true),
        Kind::Clip(&Clip { min: f32::NEG_INFINITY, max: f32::INFINITY }) => Ok(false),
        Kind::Clip(_) => refuse("a clip that does not start at 0"),
        Kind::Binary(BinaryFunction::PRelu) => Ok(true),
        Kind::Binary(BinaryFunction::Max) => Ok(node.inputs.iter().flatten().any(|&i| is_zero(graph, i))),
        _ => Ok(false),
    }
}

/// Returns true if the output of a node is only ever multiplied by values other than its own input.
fn weighs_another(network: &Network, graph: &Graph, node: &Node) -> Result<bool, GraphError> {
    let own = network.behind(require_value(node, 0)?);
    let others = network.products(graph, node.outputs[0]);
    Ok(others.is_some_and(|others| others.iter().all(|&other| network.behind(other) != own)))
}

/// Returns true if the output of a node is multiplied by its own input.
fn gates_itself(network: &Network, graph: &Graph, node: &Node) -> Result<bool, GraphError> {
    let own = network.behind(require_value(node, 0)?);
    let others = network.products(graph, node.outputs[0]);
    Ok(others.is_some_and(|others| others.iter().any(|&other| network.behind(other) == own)))
}

/// Returns true if a square root is added to the value whose square it is the root of.
fn roots_its_addend(network: &Network, graph: &Graph, node: &Node) -> Result<bool, GraphError> {
    let square = network.behind(require_value(node, 0)?);
    let Some(Kind::Binary(BinaryFunction::Mul | BinaryFunction::Pow)) =
        graph.producer(square).map(|id| graph.node(id).op.kind())
    else {
        return Ok(false);
    };
    let base = graph.producer(square).and_then(|id| network.varying(graph.node(id)).next());
    let own = base.map(|base| network.behind(base));
    let is_sum =
        |reader: &&Node| matches!(reader.op.kind(), Kind::Binary(BinaryFunction::Add | BinaryFunction::Sub));
    let mut sums = network.readers(graph, node.outputs[0]).filter(is_sum);
    Ok(sums.any(|sum| network.varying(sum).any(|term| Some(network.behind(term)) == own)))
}

fn is_zero(graph: &Graph, value: ValueId) -> bool {
    graph.constant(value).is_some_and(|t| t.to_f64().iter().all(|&v| v == 0.0))
}
