//! Class activation mapping.

use heatlens_graph::{Dim, Tensor, ValueId};

use crate::method::{Formula, MapKind, Method, MethodError, Work};

/// Registry entry.
pub(super) static CAM: Method = Method {
    id: "cam",
    title: "CAM",
    summary: "what each place adds to the score, in a network that ends in global average pooling and one dense layer",
    formula: "Σₖ wₖ Aₖ, with wₖ the dense layer's weights of the class",
    paper: "Zhou et al. 2016, Learning Deep Features for Discriminative Localization, CVPR",
    cost: "1 forward pass",
    sanity: "passes the randomisation tests, as Grad-CAM does, which it equals here (Adebayo et al. 2018)",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let gap = f.gap.ok_or_else(|| {
        CAM.not_applicable(
            "the model does not end in global average pooling and one dense layer; grad_cam generalises it",
        )
    })?;
    if gap.features != f.layer.value {
        return Err(CAM.not_applicable(format!(
            "it is defined only at the value that global average pooling reads, not at {:?}",
            f.layer.name
        )));
    }
    let (classes, channels) = (gap.bias.len(), gap.channels);
    let weights = Tensor::f32(&[classes, channels], gap.weights.clone());
    let (seed, activations) = (f.seed, f.activations()?);
    let mut b = f.builder(CAM.id);
    let weights = b.constant(weights);
    let chosen = b.matmul(seed, weights)?;
    let mut shape = b.shape(chosen);
    shape.0.extend([Dim::Fixed(1), Dim::Fixed(1)]);
    let chosen = b.reshape(chosen, shape)?;
    let weighted = b.mul(activations, chosen)?;
    Ok(f.sum_channels(weighted)?)
}
