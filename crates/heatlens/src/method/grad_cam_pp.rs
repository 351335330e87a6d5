//! Grad-CAM++.

use crate::method::formula::divide_or_zero;
use crate::method::{Formula, MapKind, Method, MethodError, Work};
use heatlens_graph::ValueId;

/// Registry entry.
pub(super) static GRAD_CAM_PP: Method = Method {
    id: "grad_cam_pp",
    title: "Grad-CAM++",
    summary: "Grad-CAM that counts places by how strongly they raise the score, so that several objects all show",
    formula: "Σₖ wₖ Aₖ, with wₖ = Σ αₖ ReLU(∂y/∂Aₖ), αₖ = G² ÷ (2 G² + ΣAₖ · G³) = 1 ÷ (2 + ΣAₖ · G), G = ∂y/∂Aₖ",
    paper: "Chattopadhyay et al. 2018, Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep Convolutional Networks, WACV, equation 19",
    cost: "1 forward pass, 1 backward pass down to the layer",
    sanity: "not in Adebayo et al. 2018; it reads the same gradients and activations as Grad-CAM, which passes",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[],
    work: Work::Graph(build),
};

/// Builds the map. Wherever G is not 0, α can be reduced by G², which leaves no small denominator to guard: scaling
/// y and G changes α only through ΣA · G, as in the paper. (pytorch-grad-cam adds 10⁻⁶ to the unreduced
/// denominator, which outweighs G² for small gradients; torchcam omits the division.)
pub(super) fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let (gradient, activations) = (f.layer_gradient()?, f.activations()?);
    let mut b = f.builder(GRAD_CAM_PP.id);
    let positive = b.relu(gradient)?;
    let total = b.sum(activations, &[2, 3], true)?;
    let product = b.mul(total, gradient)?;
    let two = b.scalar(2.0);
    let denominator = b.add(product, two)?;
    let share = divide_or_zero(&mut b, positive, denominator)?;
    let weights = b.sum(share, &[2, 3], true)?;
    let weighted = b.mul(activations, weights)?;
    Ok(f.sum_channels(weighted)?)
}
