//! Eigen-Grad-CAM.

use crate::method::principal::principal_map;
use crate::method::{Formula, MapKind, Method, MethodError, Work};
use heatlens_graph::ValueId;

/// Registry entry.
pub(super) static EIGEN_GRAD_CAM: Method = Method {
    id: "eigen_grad_cam",
    title: "EigenGradCAM",
    summary: "the pattern that the channels' contributions to the score share most",
    formula: "first principal component of ∂y/∂A ⊙ A over places, its sign chosen so that it agrees with their sum",
    paper: "Gildenblat and contributors 2021, EigenGradCAM in pytorch-grad-cam, after Muhammad and Yeasin 2020",
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
    let mut b = f.builder(EIGEN_GRAD_CAM.id);
    let product = b.mul(gradient, activations)?;
    Ok(principal_map(&mut b, product)?)
}
