//! Deconvnet (Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks").

use heatlens_graph::{Backward, Builder, InputGrads, Rules};

use crate::rule::{Network, rectifier};

/// Propagates the positive part of the gradient through every rectifier and ignores the rectifier's own derivative:
/// `g · [g > 0]`. Max-pools route it to the position of the maximum (the paper's switches). Activations other than
/// rectifiers are rejected with an error that names them.
#[derive(Clone, Copy, Debug)]
pub struct Deconvnet<'a>(pub &'a Network);

impl Rules for Deconvnet<'_> {
    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> Option<InputGrads> {
        match rectifier::is_rectifier(self.0, builder.graph(), back.node, "deconvnet") {
            Ok(true) => Some(positive_part(builder, back)),
            Ok(false) => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }
}

fn positive_part(builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
    let Some(grad) = back.grad() else { return back.nothing() };
    let positive = builder.relu(grad)?;
    Ok(back.wanted.iter().map(|&wanted| wanted.then_some(positive)).collect())
}
