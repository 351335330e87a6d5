//! Deconvnet (Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks").

use heatlens_graph::{Builder, GraphError, Node, Rules, ValueId};

use crate::rule::{Network, rectifier};

/// At every rectifier, passes the positive part of the gradient on and forgets what the rectifier
/// itself let through: `g · [g > 0]`. Max-pools send it to where the maximum was (the paper's
/// switches). Activations that are no rectifiers are refused by name.
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
