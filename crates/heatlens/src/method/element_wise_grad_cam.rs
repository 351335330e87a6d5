//! Element-wise Grad-CAM.

use crate::method::{Formula, MapKind, Method, MethodError, Work};
use heatlens_graph::ValueId;

/// Registry entry.
pub(super) static ELEMENT_WISE_GRAD_CAM: Method = Method {
    id: "element_wise_grad_cam",
    title: "Element-wise Grad-CAM",
    summary: "HiResCAM with every channel's contribution against the class cut off place by place",
    formula: "Σₖ ReLU(∂y/∂Aₖ ⊙ Aₖ)",
    paper: "Gildenblat and contributors 2021, GradCAMElementWise in pytorch-grad-cam",
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
    let mut b = f.builder(ELEMENT_WISE_GRAD_CAM.id);
    let product = b.mul(gradient, activations)?;
    let positive = b.relu(product)?;
    Ok(f.sum_channels(positive)?)
}
