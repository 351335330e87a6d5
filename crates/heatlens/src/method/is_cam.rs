//! IS-CAM: integrated Score-CAM.

use crate::method::parts::{ChannelMasks, Views};
use crate::method::{MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, Setting, Work};

/// Registry entry. Step i shows the share i/N of the masked image; another implementation accumulates these shares,
/// so that its last step shows 5½ times the image.
pub(super) static IS_CAM: Method = Method {
    id: "is_cam",
    title: "IS-CAM",
    summary: "Score-CAM with each channel's score averaged while the masked image brightens from black",
    formula: "Σₖ αₖ Aₖ, with α = softmax over k of 1/N · Σᵢ y(i/N · x ⊙ s(up(Aₖ))), i = 1…N",
    paper: "Naidu et al. 2020, IS-CAM: Integrated Score-CAM for axiomatic-based explanations, arXiv:2010.03023",
    cost: "1 forward pass, and as many as steps (10) for each channel of the layer",
    sanity: "not tested, as far as we know",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: Some("weights are never negative: it cannot show evidence against the class"),
    parameters: &[MethodParameter {
        name: "steps",
        default: Setting::Count(10),
        summary: "steps from black to the masked image",
    }],
    work: Work::Passes(prepare),
};

#[allow(clippy::cast_precision_loss)]
fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let count = context.chosen.count("steps")?;
    let change =
        |views: &Views, view: usize, _: &mut [f32], _: &mut _| (view + 1) as f32 / views.count as f32;
    ChannelMasks::prepare(context, Views { count, noise: 0.0, change })
}
