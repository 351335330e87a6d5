//! Grad-CAM.

use heatlens_graph::ValueId;

use crate::method::{Formula, MapKind, Method, MethodError, Work};

/// Registry entry.
pub(super) static GRAD_CAM: Method = Method {
    id: "grad_cam",
    title: "Grad-CAM",
    summary: "where the layer's channels that raise the score are active",
    formula: "Σₖ αₖ Aₖ, with αₖ = mean over the plane of ∂y/∂Aₖ; the picture shows its positive part",
    paper: "Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks, ICCV",
    cost: "1 forward pass, 1 backward pass down to the layer",
    sanity: "passes the randomisation tests (Adebayo et al. 2018)",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[],
    work: Work::Graph(build),
};

/// Builds the map; also used by guided Grad-CAM.
pub(super) fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let gradient = f.layer_gradient()?;
    let activations = f.activations()?;
    let mut b = f.builder(GRAD_CAM.id);
    let alpha = b.mean(gradient, &[2, 3], true)?;
    let weighted = b.mul(activations, alpha)?;
    Ok(f.sum_channels(weighted)?)
}
