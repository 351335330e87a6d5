//! Excitation backpropagation.

use heatlens_graph::ValueId;

use crate::method::{Formula, MapKind, Method, MethodError, Work};
use crate::rule::{Composite, LayerRule};

/// Registry entry.
pub(super) static EXCITATION_BACKPROP: Method = Method {
    id: "excitation_backprop",
    title: "Excitation back-propagation",
    summary: "the places of the layer that win when the class passes its vote down to the neurons that \
        excite it",
    formula: "P(aᵢ) = Σⱼ aᵢwᵢⱼ⁺ ÷ Σᵢ aᵢwᵢⱼ⁺ · P(aⱼ) down to the layer, from P = 1 at the class, without biases; summed over the layer's channels",
    paper: "Zhang et al. 2016, Top-down Neural Attention by Excitation Backprop, ECCV",
    cost: "3 forward passes, 2 backward passes down to the layer",
    sanity: "fails: the map does not depend on the later layers (Sixt et al. 2020)",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: Some("hardly depends on the class in deep networks; --against CLASS shows the contrast of two"),
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let votes = f.seed;
    let composite = Composite::uniform(LayerRule::AlphaBeta { alpha: 1.0, bias: false });
    let won = f.layer_relevance(composite, votes)?;
    Ok(f.sum_channels(won)?)
}
