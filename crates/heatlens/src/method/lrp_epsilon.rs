//! Layer-wise relevance propagation with the ε-rule.

use heatlens_graph::ValueId;

use crate::method::{Formula, MapKind, Method, MethodError, MethodParameter, Setting, Work};
use crate::rule::{Composite, LayerRule};

/// The parameter ε, which keeps denominators away from 0.
pub(super) const EPSILON: MethodParameter = MethodParameter {
    name: "epsilon",
    default: Setting::Number(1e-6),
    summary: "moves the denominators of layers with weights away from 0 and absorbs relevance where they are small",
};

/// Registry entry.
pub(super) static LRP_EPSILON: Method = Method {
    id: "lrp_epsilon",
    title: "LRP-ε",
    summary: "the score propagated back layer by layer, in proportion to what each input contributed",
    formula: "Rᵢ = Σⱼ xᵢwᵢⱼ ÷ (zⱼ + ε·sign zⱼ) · Rⱼ in every layer, zⱼ = Σᵢ xᵢwᵢⱼ + bⱼ, from R = y; ΣR = y − what biases absorb",
    paper: "Bach et al. 2015, On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation, PLOS ONE 10(7)",
    cost: "1 forward pass, 1 backward pass",
    sanity: "not tested by itself, as far as we know; in a ReLU network it becomes input × gradient as ε goes to 0 (Ancona et al. 2018)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some("noisy in deep networks with a small ε, where it comes near input × gradient"),
    parameters: &[EPSILON],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let epsilon = f.chosen.number_from("epsilon", f32::MIN_POSITIVE.into())?;
    Ok(f.input_relevance(Composite::uniform(LayerRule::Epsilon(epsilon)))?)
}
