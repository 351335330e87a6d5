//! Guided backpropagation (Springenberg et al. 2015, "Striving for Simplicity").

use heatlens_graph::{Builder, GraphError, Node, Rules, ValueId};

use crate::rule::{Network, rectifier};

/// Propagates only positive gradients through the derivative of every rectifier f: `g · f′(x) · [g > 0]`, which is
/// `g · [x > 0] · [g > 0]` for ReLU. The literature has no such rule for other activations; they are rejected with
/// an error that names them, rather than given the plain gradient.
#[derive(Clone, Copy, Debug)]
pub struct Guided<'a>(pub &'a Network);

impl Rules for Guided<'_> {
    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Option<Result<Vec<Option<ValueId>>, GraphError>> {
        match rectifier::is_rectifier(self.0, builder.graph(), node, "guided back-propagation") {
            Ok(true) => Some(positive_part(builder, node, output_grads, wanted)),
            Ok(false) => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }
}

fn positive_part(
    builder: &mut Builder<'_>,
    node: &Node,
    output_grads: &[Option<ValueId>],
    wanted: &[bool],
) -> Result<Vec<Option<ValueId>>, GraphError> {
    let Some(Some(grad)) = output_grads.first() else { return Ok(vec![None; node.inputs.len()]) };
    let positive = builder.relu(*grad)?;
    node.op.vjp(builder, node, &[Some(positive)], wanted)
}
