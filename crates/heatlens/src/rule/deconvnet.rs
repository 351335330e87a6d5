//! Deconvnet (Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks").

use heatlens_graph::{Builder, GraphError, Node, Rules, ValueId};

use crate::rule::{Network, rectifier};

/// Propagates the positive part of the gradient through every rectifier and ignores the rectifier's own derivative:
/// `g · [g > 0]`. Max-pools route it to the position of the maximum (the paper's switches). Activations other than
/// rectifiers are rejected with an error that names them.
#[derive(Clone, Copy, Debug)]
pub struct Deconvnet<'a>(pub &'a Network);

impl Rules for Deconvnet<'_> {
    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Option<Result<Vec<Option<ValueId>>, GraphError>> {
        match rectifier::is_rectifier(self.0, builder.graph(), node, "deconvnet") {
            Ok(true) => Some(positive_part(builder, output_grads, wanted)),
            Ok(false) => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }
}

fn positive_part(
    builder: &mut Builder<'_>,
    output_grads: &[Option<ValueId>],
    wanted: &[bool],
) -> Result<Vec<Option<ValueId>>, GraphError> {
    let Some(Some(grad)) = output_grads.first() else { return Ok(vec![None; wanted.len()]) };
    let positive = builder.relu(*grad)?;
    Ok(wanted.iter().map(|&wanted| wanted.then_some(positive)).collect())
}
