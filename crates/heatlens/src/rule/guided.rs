//! Guided back-propagation (Springenberg et al. 2015, "Striving for Simplicity", §3.4).

use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::op::{at, require_value};
use heatlens_graph::{Builder, GraphError, Node, OpError, Rules, ValueId};

/// At every rectifier, lets a gradient pass where the input *and* the gradient are positive:
/// `g · [x > 0] · [g > 0]`. Other activations have no such rule in the literature, and the method
/// refuses them by name rather than fall back to the plain gradient.
#[derive(Clone, Copy, Debug)]
pub struct Guided;

impl Rules for Guided {
    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Option<Result<Vec<Option<ValueId>>, GraphError>> {
        if let Some(Unary(function)) = node.op.downcast_ref::<Unary>() {
            return match function {
                UnaryFunction::Relu => Some(rectify(builder, node, output_grads)),
                UnaryFunction::Sigmoid | UnaryFunction::Tanh | UnaryFunction::Softplus => {
                    let what = "guided back-propagation through an activation other than ReLU".to_owned();
                    Some(Err(at(node, OpError::Unsupported(what))))
                }
                _ => None,
            };
        }
        node.op.downcast_ref::<Clip>()?;
        Some(rectify_clipped(builder, node, output_grads, wanted))
    }
}

fn rectify(
    builder: &mut Builder<'_>,
    node: &Node,
    output_grads: &[Option<ValueId>],
) -> Result<Vec<Option<ValueId>>, GraphError> {
    let Some(Some(grad)) = output_grads.first() else { return Ok(vec![None]) };
    let positive = builder.relu(*grad)?;
    let mask = builder.is_positive(node.outputs[0])?;
    Ok(vec![Some(builder.keep_where(mask, positive)?)])
}

/// ReLU6 and its like: the true derivative's gate, and only positive gradients.
fn rectify_clipped(
    builder: &mut Builder<'_>,
    node: &Node,
    output_grads: &[Option<ValueId>],
    wanted: &[bool],
) -> Result<Vec<Option<ValueId>>, GraphError> {
    require_value(node, 0)?;
    let Some(Some(grad)) = output_grads.first() else { return Ok(vec![None]) };
    let positive = builder.relu(*grad)?;
    node.op.vjp(builder, node, &[Some(positive)], wanted)
}
