//! LayerCAM.

use crate::method::{Formula, MapKind, Method, MethodError, Work};
use heatlens_graph::ValueId;

/// Registry entry.
pub(super) static LAYER_CAM: Method = Method {
    id: "layer_cam",
    title: "LayerCAM",
    summary: "activations weighted place by place with the gradient's positive part: sharp at early layers too",
    formula: "Σₖ ReLU(∂y/∂Aₖ) ⊙ Aₖ",
    paper: "Jiang et al. 2021, LayerCAM: Exploring Hierarchical Class Activation Maps for Localization, IEEE TIP",
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
    let mut b = f.builder(LAYER_CAM.id);
    let positive = b.relu(gradient)?;
    let product = b.mul(positive, activations)?;
    Ok(f.sum_channels(product)?)
}
