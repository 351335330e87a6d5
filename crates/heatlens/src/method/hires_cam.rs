//! HiResCAM.

use crate::method::{Formula, MapKind, Method, MethodError, Work};
use heatlens_graph::ValueId;

/// Registry entry.
pub(super) static HIRES_CAM: Method = Method {
    id: "hires_cam",
    title: "HiResCAM",
    summary: "what each place adds to the score to first order, gradients kept place by place",
    formula: "Σₖ ∂y/∂Aₖ ⊙ Aₖ",
    paper: "Draelos and Carin 2020, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks, arXiv:2011.08891",
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
    let product = f.builder(HIRES_CAM.id).mul(gradient, activations)?;
    Ok(f.sum_channels(product)?)
}
