//! Guided backpropagation (Springenberg et al. 2015, "Striving for Simplicity").

use heatlens_graph::{Backward, Builder, InputGrads, Rules};

use crate::rule::{Network, rectifier};

/// Propagates only positive gradients through the derivative of every rectifier f: `g · f′(x) · [g > 0]`, which is
/// `g · [x > 0] · [g > 0]` for ReLU. The literature has no such rule for other activations; they are rejected with
/// an error that names them, rather than given the plain gradient.
#[derive(Clone, Copy, Debug)]
pub struct Guided<'a>(pub &'a Network);

impl Rules for Guided<'_> {
    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> Option<InputGrads> {
        match rectifier::is_rectifier(self.0, builder.graph(), back.node, "guided back-propagation") {
            Ok(true) => Some(positive_part(builder, back)),
            Ok(false) => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }
}

fn positive_part(builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
    let Some(grad) = back.grad() else { return back.nothing() };
    let positive = builder.relu(grad)?;
    back.node.op.vjp(builder, &Backward { output_grads: &[Some(positive)], ..*back })
}
