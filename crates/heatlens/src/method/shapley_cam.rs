//! ShapleyCAM.

use crate::method::{Formula, MapKind, Method, MethodError, Work};
use heatlens_graph::ValueId;

/// Registry entry.
pub(super) static SHAPLEY_CAM: Method = Method {
    id: "shapley_cam",
    title: "ShapleyCAM",
    summary: "Grad-CAM whose weights also count how the gradient itself changes with the channel",
    formula: "Σₖ αₖ Aₖ, with αₖ = mean over the plane of (G − ½ H·A)ₖ, G = ∂y/∂A, H·A the Hessian of y times A",
    paper: "Cai 2025, CAMs as Shapley Value-based Explainers, The Visual Computer, arXiv:2501.06261",
    cost: "1 forward pass, 2 backward passes down to the layer",
    sanity: "not in Adebayo et al. 2018; it reads the same gradients and activations as Grad-CAM, which passes",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let gradient = f.layer_gradient()?;
    let activations = f.activations()?;
    let curvature = f.layer_curvature()?;
    let mut b = f.builder(SHAPLEY_CAM.id);
    let slope = match curvature {
        Some(curvature) => {
            let half = b.scale(curvature, 0.5)?;
            b.sub(gradient, half)?
        }
        None => gradient,
    };
    let alpha = b.mean(slope, &[2, 3], true)?;
    let weighted = b.mul(activations, alpha)?;
    Ok(f.sum_channels(weighted)?)
}
