//! Guided backpropagation.

use heatlens_graph::ValueId;

use crate::method::{Formula, MapKind, Method, MethodError, Work};
use crate::rule::Guided;

/// Registry entry.
pub(super) static GUIDED_BACKPROP: Method = Method {
    id: "guided_backprop",
    title: "Guided back-propagation",
    summary: "the gradient with every negative contribution cut off at each rectifier: sharp edges",
    formula: "∂y/∂x with g ← g · [x > 0] · [g > 0] at every ReLU (other rectifiers f: g · f′(x) · [g > 0])",
    paper: "Springenberg et al. 2015, Striving for Simplicity: The All Convolutional Net, ICLR workshop",
    cost: "1 forward pass, 1 backward pass",
    sanity: "fails the randomisation tests (Adebayo et al. 2018)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some(
        "edge-like; fails the randomisation tests of Adebayo et al. 2018: it looks much the same for an untrained model",
    ),
    parameters: &[],
    work: Work::Graph(build),
};

/// Builds the map; also used by guided Grad-CAM.
pub(super) fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let network = f.network();
    Ok(f.input_gradient(&Guided(&network))?)
}
