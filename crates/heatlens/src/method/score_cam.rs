//! Score-CAM.

use crate::method::parts::{ChannelMasks, Views};
use crate::method::{MapKind, Method, MethodError, MultiPass, PassContext, Work};

/// Registry entry. The score is the explained one: the logit, or, as in the paper's experiments, that of `--score
/// probability`. The paper subtracts the score of a black image, which the softmax over channels cancels. Masks are
/// upsampled by half-pixel bilinear interpolation, then normalized to 0…1; other implementations upsample with
/// aligned corners, or normalize first.
pub(super) static SCORE_CAM: Method = Method {
    id: "score_cam",
    title: "Score-CAM",
    summary: "the layer's channels, each weighted by the score of the image seen through it; no gradients",
    formula: "Σₖ αₖ Aₖ, with α = softmax over k of y(x ⊙ s(up(Aₖ))), s stretching to 0…1",
    paper: "Wang et al. 2020, Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks, CVPR workshop",
    cost: "1 forward pass, and 1 for each channel of the layer",
    sanity: "passes the randomisation tests in its own paper (Wang et al. 2020)",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: Some("weights are never negative: it cannot show evidence against the class"),
    parameters: &[],
    work: Work::Passes(prepare),
};

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    ChannelMasks::prepare(context, Views { count: 1, noise: 0.0, change: |_, _, _, _| 1.0 })
}
