//! Layer-wise relevance propagation with the αβ-rule.

use heatlens_graph::ValueId;

use crate::method::{Formula, MapKind, Method, MethodError, MethodParameter, Setting, Work};
use crate::rule::{Composite, LayerRule};

/// Registry entry.
pub(super) static LRP_ALPHA_BETA: Method = Method {
    id: "lrp_alpha_beta",
    title: "LRP-αβ",
    summary: "the score propagated back layer by layer, contributions for and against kept apart and \
        weighted",
    formula: "Rᵢ = Σⱼ (α (xᵢwᵢⱼ)⁺ ÷ zⱼ⁺ − β (xᵢwᵢⱼ)⁻ ÷ zⱼ⁻) · Rⱼ in every layer, β = α − 1; biases take their shares",
    paper: "Bach et al. 2015, On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation, PLOS ONE 10(7)",
    cost: "5 forward passes, 4 backward passes (3 and 2 with α = 1)",
    sanity: "fails: with α = 1 the map does not depend on the later layers (Sixt et al. 2020)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some(
        "with α = 1 it does not depend on the later layers, so it looks much the same for another class (Sixt et al. 2020)",
    ),
    parameters: &[MethodParameter {
        name: "alpha",
        default: Setting::Number(2.0),
        summary: "the weight of contributions in favour, at least 1; those against get alpha - 1",
    }],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let alpha = f.chosen.number_from("alpha", 1.0)?;
    Ok(f.input_relevance(Composite::uniform(LayerRule::AlphaBeta { alpha, bias: true }))?)
}
