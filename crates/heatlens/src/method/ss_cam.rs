//! SS-CAM: smoothed Score-CAM.

use crate::extremes::extremes;
use crate::method::parts::{ChannelMasks, Views};
use crate::method::{MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, Setting, Work};

/// Registry entry. This is the paper's first form, with noise on the feature map. Its strength is a share of the
/// channel's range, so that it is comparable between layers; the paper's 2 is in units of the activations. Another
/// implementation adds noise to the mask instead, far outside 0…1.
pub(super) static SS_CAM: Method = Method {
    id: "ss_cam",
    title: "SS-CAM",
    summary: "Score-CAM with each channel's score averaged over noisy copies of the channel",
    formula: "Σₖ αₖ Aₖ, with α = softmax over k of the mean over ε of y(x ⊙ s(up(Aₖ + ε))), ε ~ N(0, σ²), σ = noise · (max Aₖ − min Aₖ)",
    paper: "Wang et al. 2020, SS-CAM: Smoothed Score-CAM for Sharper Visual Feature Localization, arXiv:2006.14255",
    cost: "1 forward pass, and as many as samples (10) for each channel of the layer",
    sanity: "not tested, as far as we know",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: Some("weights are never negative: it cannot show evidence against the class"),
    parameters: &[
        MethodParameter {
            name: "samples",
            default: Setting::Count(10),
            summary: "noisy copies of each channel",
        },
        MethodParameter {
            name: "noise",
            default: Setting::Number(0.5),
            summary: "standard deviation of the noise, as a share of the channel's range",
        },
    ],
    work: Work::Passes(prepare),
};

#[allow(clippy::cast_possible_truncation)]
fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let count = context.chosen.count("samples")?;
    let noise = context.chosen.number_between("noise", 0.0, 10.0)?;
    ChannelMasks::prepare(
        context,
        Views {
            count,
            noise,
            change: |views, _, plane, rng| {
                let [low, high] = extremes(plane);
                let sigma = views.noise * f64::from(high - low);
                plane.iter_mut().for_each(|a| *a += (sigma * rng.normal()) as f32);
                1.0
            },
        },
    )
}
