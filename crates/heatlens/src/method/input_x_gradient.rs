//! Input × gradient.

use heatlens_graph::{DefaultRules, ValueId};

use crate::method::{Formula, MapKind, Method, MethodError, Work};

/// Registry entry.
pub(super) static INPUT_X_GRADIENT: Method = Method {
    id: "input_x_gradient",
    title: "Input × gradient",
    summary: "each pixel's value times how much the score would change with it",
    formula: "x ⊙ ∂y/∂x",
    paper: "Shrikumar et al. 2016, Not Just a Black Box: Learning Important Features Through Propagating Activation Differences, arXiv:1605.01713",
    cost: "1 forward pass, 1 backward pass",
    sanity: "passes the randomisation tests by rank correlation, yet the image itself stays visible in the map (Adebayo et al. 2018)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some("a pixel of value 0 always gets 0, and the image shows through whatever the model does"),
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let (image, gradient) = (f.image, f.input_gradient(&DefaultRules)?);
    Ok(f.builder(INPUT_X_GRADIENT.id).mul(image, gradient)?)
}
