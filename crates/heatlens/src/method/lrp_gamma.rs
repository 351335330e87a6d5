//! Layer-wise relevance propagation with the γ-rule.

use heatlens_graph::ValueId;

use crate::method::{Formula, MapKind, Method, MethodError, MethodParameter, Setting, Work};
use crate::rule::{Composite, LayerRule};

/// The parameter γ, which amplifies contributions with the sign of the output.
pub(super) const GAMMA: MethodParameter = MethodParameter {
    name: "gamma",
    default: Setting::Number(0.25),
    summary: "how much contributions with the sign of the output are raised; 0 is LRP-ε",
};

/// Registry entry.
pub(super) static LRP_GAMMA: Method = Method {
    id: "lrp_gamma",
    title: "LRP-γ",
    summary: "the score propagated back layer by layer, where contributions in favour count more than those \
        against",
    formula: "Rᵢ = Σⱼ xᵢ(wᵢⱼ + γwᵢⱼ⁺) ÷ Σᵢ xᵢ(wᵢⱼ + γwᵢⱼ⁺) · Rⱼ in every layer; for inputs and outputs below 0 as Andéol et al. 2021 have it",
    paper: "Montavon et al. 2019, Layer-Wise Relevance Propagation: An Overview, in Explainable AI, LNCS 11700; Andéol et al. 2021, Learning Domain Invariant Representations by Joint Wasserstein Distance Minimization, arXiv:2106.04923",
    cost: "5 forward passes, 4 backward passes",
    sanity: "not tested, as far as we know; the larger γ is, the nearer it comes to LRP-α1β0, which fails (Sixt et al. 2020)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: None,
    parameters: &[GAMMA],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let gamma = f.chosen.number_from("gamma", 0.0)?;
    Ok(f.input_relevance(Composite::uniform(LayerRule::Gamma(gamma)))?)
}
