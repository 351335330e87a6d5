//! SmoothGrad.

use crate::method::parts::NoisyGradients;
use crate::method::{MapKind, Method, MethodError, MultiPass, PassContext, Work};

/// Registry entry. This is the paper's mean of the score's gradients; under this name, other implementations square
/// the gradients or differentiate the cross-entropy.
pub(super) static SMOOTH_GRAD: Method = Method {
    id: "smooth_grad",
    title: "SmoothGrad",
    summary: "the gradient averaged over noisy copies of the image: less speckle",
    formula: "mean over ε of ∂y/∂x at x + ε, ε ~ N(0, σ²), σ = noise · (max x − min x)",
    paper: "Smilkov et al. 2017, SmoothGrad: removing noise by adding noise, ICML workshop",
    cost: "as many forward and backward passes as samples (50)",
    sanity: "passes the randomisation tests (Adebayo et al. 2018)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: None,
    parameters: NoisyGradients::PARAMETERS,
    work: Work::Passes(prepare),
};

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    NoisyGradients::prepare(context, |moments| moments.mean.clone())
}
