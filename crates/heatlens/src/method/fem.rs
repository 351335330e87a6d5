//! Feature-based explanation.

use crate::method::{Formula, MapKind, Method, MethodError, MethodParameter, Setting, Work};
use heatlens_graph::ValueId;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::unary::UnaryFunction;

/// Registry entry.
pub(super) static FEM: Method = Method {
    id: "fem",
    title: "FEM",
    summary: "where channels are unusually active, whatever the class",
    formula: "Σₖ mean(Aₖ) · [Aₖ ≥ mean(Aₖ) + k · deviation(Aₖ)]",
    paper: "Fuad et al. 2020, Features Understanding in 3D CNNs for Actions Recognition in Video, IPTA",
    cost: "1 forward pass",
    sanity: "not tested, as far as we know; it does not depend on the class",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: Some(
        "the same picture for every class: it shows what the layer sees, not what speaks for the class",
    ),
    parameters: &[MethodParameter {
        name: "k",
        default: Setting::Number(2.0),
        summary: "how many standard deviations above its mean a channel counts as unusual",
    }],
    work: Work::Graph(build),
};

/// Builds the map. As in the paper, the weights are channel means and the maps are binary. (pytorch-grad-cam
/// weights with the share of unusual positions and sums the activations themselves.)
fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let k = f.chosen.number("k")?;
    let activations = f.activations()?;
    let mut b = f.builder(FEM.id);
    let mean = b.mean(activations, &[2, 3], true)?;
    let centred = b.sub(activations, mean)?;
    let square = b.mul(centred, centred)?;
    let variance = b.mean(square, &[2, 3], true)?;
    let deviation = b.unary(UnaryFunction::Sqrt, variance)?;
    #[allow(clippy::cast_possible_truncation)]
    let above = b.scale(deviation, k as f32)?;
    let unusual = b.binary(BinaryFunction::GreaterOrEqual, centred, above)?;
    let weighted = b.keep_where(unusual, mean)?;
    Ok(f.sum_channels(weighted)?)
}
