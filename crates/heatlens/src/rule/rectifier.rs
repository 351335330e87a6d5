//! What guided back-propagation and deconvnet have in common: which activations they know.
//!
//! Both are defined for rectifiers: ReLU, its leaky kin, clips that start at 0, and the larger of a
//! value and 0. Layers that are linear, pools, normalisations and products keep their derivative. Any
//! other activation has no such rule in the literature and is refused by name. The one exception is a
//! sigmoid whose only use is to weigh another value, as in squeeze-and-excitation: it is a factor of
//! a product, and keeps its derivative as other products do.

use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::op::{at, require_value};
use heatlens_graph::{Graph, GraphError, Node, OpError, ValueId};

use crate::rule::Network;

/// Whether the node is a rectifier; otherwise it keeps its derivative.
///
/// # Errors
/// If it is an activation that `rule` knows nothing of.
pub(super) fn is_rectifier(
    network: &Network,
    graph: &Graph,
    node: &Node,
    rule: &str,
) -> Result<bool, GraphError> {
    let refuse = |what: &str| {
        let advice = "the rule is defined for rectifiers; gradient or grad_cam take any activation";
        Err(at(node, OpError::Unsupported(format!("{rule} through {what} ({advice})"))))
    };
    if let Some(Unary(function)) = node.op.downcast_ref::<Unary>() {
        use UnaryFunction as F;
        return match function {
            F::Relu | F::LeakyRelu(_) | F::ThresholdedRelu(_) => Ok(true),
            F::Sigmoid | F::HardSigmoid { .. } if weighs_another(network, graph, node)? => Ok(false),
            F::Sqrt if roots_its_addend(network, graph, node)? => {
                refuse("a value that is added to the root of its own square, as in SquarePlus")
            }
            F::Neg | F::Exp | F::Log | F::Sqrt | F::Reciprocal => Ok(false),
            other if other.is_flat() => Ok(false),
            other => refuse(other.name()),
        };
    }
    if let Some(clip) = node.op.downcast_ref::<Clip>() {
        if gates_itself(network, graph, node)? {
            return refuse("a value that is multiplied with its own clip, as in HardSwish");
        }
        if clip.min == 0.0 {
            return Ok(true);
        }
        let open = clip.min == f32::NEG_INFINITY && clip.max == f32::INFINITY;
        return if open { Ok(false) } else { refuse("a clip that does not start at 0") };
    }
    Ok(match node.op.downcast_ref::<Binary>() {
        Some(Binary(BinaryFunction::PRelu)) => true,
        Some(Binary(BinaryFunction::Max)) => node.inputs.iter().flatten().any(|&i| is_zero(graph, i)),
        _ => false,
    })
}

/// Whether all that comes of a node is to be multiplied with values other than its own input.
fn weighs_another(network: &Network, graph: &Graph, node: &Node) -> Result<bool, GraphError> {
    let own = network.behind(require_value(node, 0)?);
    let others = network.products(graph, node.outputs[0]);
    Ok(others.is_some_and(|others| others.iter().all(|&other| network.behind(other) != own)))
}

/// Whether what comes of a node is multiplied with its own input.
fn gates_itself(network: &Network, graph: &Graph, node: &Node) -> Result<bool, GraphError> {
    let own = network.behind(require_value(node, 0)?);
    let others = network.products(graph, node.outputs[0]);
    Ok(others.is_some_and(|others| others.iter().any(|&other| network.behind(other) == own)))
}

/// Whether a root is added to what its square is taken of.
fn roots_its_addend(network: &Network, graph: &Graph, node: &Node) -> Result<bool, GraphError> {
    let square = network.behind(require_value(node, 0)?);
    let Some(Binary(BinaryFunction::Mul | BinaryFunction::Pow)) =
        graph.producer(square).and_then(|id| graph.node(id).op.downcast_ref())
    else {
        return Ok(false);
    };
    let base = graph.producer(square).and_then(|id| network.varying(graph.node(id)).next());
    let own = base.map(|base| network.behind(base));
    let is_sum = |reader: &&Node| {
        matches!(reader.op.downcast_ref(), Some(Binary(BinaryFunction::Add | BinaryFunction::Sub)))
    };
    let mut sums = network.readers(graph, node.outputs[0]).filter(is_sum);
    Ok(sums.any(|sum| network.varying(sum).any(|term| Some(network.behind(term)) == own)))
}

fn is_zero(graph: &Graph, value: ValueId) -> bool {
    graph.constant(value).is_some_and(|t| t.to_f64().iter().all(|&v| v == 0.0))
}
