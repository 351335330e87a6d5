//! Layer-wise relevance propagation with different rules by type of layer.

use heatlens_graph::ValueId;

use crate::method::lrp_epsilon::EPSILON;
use crate::method::lrp_gamma::GAMMA;
use crate::method::{Formula, MapKind, Method, MethodError, MethodParameter, Setting, Work};
use crate::rule::{Composite, LayerRule};

/// Registry entry.
pub(super) static LRP_COMPOSITE: Method = Method {
    id: "lrp_composite",
    title: "LRP by layer type",
    summary: "the score propagated back layer by layer, with the rule that suits each: dense layers, \
        convolutions, the first layer",
    formula: "dense layers: ε-rule; convolutions: z⁺ (α1β0), α2β1 or γ; the first layer: evenly (flat) or within the pixels' bounds (box)",
    paper: "Kohlbrenner et al. 2020, Towards Best Practice in Explaining Neural Network Decisions with LRP, IJCNN; Montavon et al. 2019, Layer-Wise Relevance Propagation: An Overview",
    cost: "3 to 5 forward passes, 2 to 4 backward passes",
    sanity: "not tested as a whole, as far as we know; the z⁺-rule of its convolutions fails alone (Sixt et al. 2020)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some(
        "through many layers of the z⁺-rule the map stops depending on the later ones (Sixt et al. 2020)",
    ),
    parameters: &[
        MethodParameter {
            name: "composite",
            default: Setting::Choice(&[
                "epsilon_plus",
                "epsilon_plus_flat",
                "epsilon_alpha2_beta1",
                "epsilon_alpha2_beta1_flat",
                "epsilon_gamma_box",
            ]),
            summary: "the rule of dense layers, of convolutions, and of the first layer",
        },
        EPSILON,
        GAMMA,
        MethodParameter {
            name: "low",
            default: Setting::Number(0.0),
            summary: "the smallest value of a pixel as the network sees it, for epsilon_gamma_box",
        },
        MethodParameter {
            name: "high",
            default: Setting::Number(1.0),
            summary: "the largest value of a pixel as the network sees it, for epsilon_gamma_box",
        },
    ],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let epsilon = LayerRule::Epsilon(f.chosen.number_from("epsilon", f32::MIN_POSITIVE.into())?);
    let gamma = LayerRule::Gamma(f.chosen.number_from("gamma", 0.0)?);
    let low = f.chosen.number_from("low", f32::MIN.into())?;
    let high = f.chosen.number_from("high", low.into())?;
    let alpha_beta = |alpha| LayerRule::AlphaBeta { alpha, bias: true };
    let name = f.chosen.choice("composite")?;
    let convolution = match name {
        "epsilon_alpha2_beta1" | "epsilon_alpha2_beta1_flat" => alpha_beta(2.0),
        "epsilon_gamma_box" => gamma,
        _ => alpha_beta(1.0),
    };
    let mut composite = Composite::by_kind(convolution, epsilon);
    if name.ends_with("_flat") {
        composite = composite.with_first(LayerRule::Flat);
    } else if name.ends_with("_box") {
        composite = composite.with_first(LayerRule::Box { low, high });
    }
    Ok(f.input_relevance(composite)?)
}
