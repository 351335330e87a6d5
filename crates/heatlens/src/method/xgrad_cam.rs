//! XGrad-CAM.

use crate::method::formula::divide_or_zero;
use crate::method::{Formula, MapKind, Method, MethodError, Work};
use heatlens_graph::ValueId;

/// Registry entry.
pub(super) static XGRAD_CAM: Method = Method {
    id: "xgrad_cam",
    title: "XGrad-CAM",
    summary: "Grad-CAM with weights chosen so that the map's sum says how much the layer adds to the score",
    formula: "Σₖ αₖ Aₖ, with αₖ = Σ (∂y/∂Aₖ ⊙ Aₖ) ÷ Σ Aₖ, and 0 for a silent channel",
    paper: "Fu et al. 2020, Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs, BMVC",
    cost: "1 forward pass, 1 backward pass down to the layer",
    sanity: "not in Adebayo et al. 2018; it reads the same gradients and activations as Grad-CAM, which passes",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let (gradient, activations) = (f.layer_gradient()?, f.activations()?);
    let mut b = f.builder(XGRAD_CAM.id);
    let product = b.mul(gradient, activations)?;
    let gained = b.sum(product, &[2, 3], true)?;
    let total = b.sum(activations, &[2, 3], true)?;
    let alpha = divide_or_zero(&mut b, gained, total)?;
    let weighted = b.mul(activations, alpha)?;
    Ok(f.sum_channels(weighted)?)
}
