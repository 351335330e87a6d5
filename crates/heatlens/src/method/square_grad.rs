//! SquareGrad, also called SmoothGrad-Squared.

use crate::method::parts::NoisyGradients;
use crate::method::{MapKind, Method, MethodError, MultiPass, PassContext, Work};

/// Registry entry.
pub(super) static SQUARE_GRAD: Method = Method {
    id: "square_grad",
    title: "SquareGrad",
    summary: "the squared gradient averaged over noisy copies of the image; it has no sign",
    formula: "mean over ε of (∂y/∂x)² at x + ε, ε ~ N(0, σ²), σ = noise · (max x − min x)",
    paper: "Hooker et al. 2019, A Benchmark for Interpretability Methods in Deep Neural Networks, NeurIPS",
    cost: "as many forward and backward passes as samples (50)",
    sanity: "randomisation: not tested, as far as we know; removing its pixels hurts more than removing random ones (Hooker et al. 2019)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some(
        "it is the same for and against a class: it cannot tell evidence for from evidence against",
    ),
    parameters: NoisyGradients::PARAMETERS,
    work: Work::Passes(prepare),
};

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    NoisyGradients::prepare(context, |moments| {
        let of = |(mean, deviation): (&f64, &f64)| deviation / moments.count + mean * mean;
        moments.mean.iter().zip(&moments.deviation).map(of).collect()
    })
}
