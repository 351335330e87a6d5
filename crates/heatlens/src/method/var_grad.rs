//! VarGrad.

use crate::method::parts::NoisyGradients;
use crate::method::{MapKind, Method, MethodError, MultiPass, PassContext, Work};

/// Registry entry.
pub(super) static VAR_GRAD: Method = Method {
    id: "var_grad",
    title: "VarGrad",
    summary: "where the gradient changes most among noisy copies of the image; it has no sign",
    formula: "variance over ε of ∂y/∂x at x + ε, ε ~ N(0, σ²), σ = noise · (max x − min x)",
    paper: "Adebayo et al. 2018, Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter Values, ICLR workshop",
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
    if context.chosen.count("samples")? < 2 {
        return Err(context.chosen.wrong("samples", "one sample has no variance; use 2 or more"));
    }
    NoisyGradients::prepare(context, |moments| moments.deviation.iter().map(|d| d / moments.count).collect())
}
