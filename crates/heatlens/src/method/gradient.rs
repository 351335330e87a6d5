//! The plain gradient, also called saliency.

use heatlens_graph::{DefaultRules, ValueId};

use crate::method::{Formula, MapKind, Method, MethodError, Work};

/// Registry entry.
pub(super) static GRADIENT: Method = Method {
    id: "gradient",
    title: "Gradient",
    summary: "how much the score would change with each pixel",
    formula: "∂y/∂x",
    paper: "Simonyan et al. 2014, Deep Inside Convolutional Networks, ICLR workshop",
    cost: "1 forward pass, 1 backward pass",
    sanity: "passes the randomisation tests (Adebayo et al. 2018)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: None,
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    Ok(f.input_gradient(&DefaultRules)?)
}
