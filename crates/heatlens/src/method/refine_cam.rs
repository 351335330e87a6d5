//! RefineCAM.

use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::{Builder, GraphError, ValueId};

use crate::method::formula::{bring, divide_or_zero};
use crate::method::{Formula, MapKind, Method, MethodError, MethodParameter, Setting, Work, grad_cam_pp};
use crate::model::Layer;

/// Registry entry.
pub(super) static REFINE_CAM: Method = Method {
    id: "refine_cam",
    title: "RefineCAM",
    summary: "Grad-CAM++ of the chosen layer and of the stages before it, multiplied: only what all agree on stays",
    formula: "Π over layers of ReLU(map) ÷ its maximum, each enlarged to the largest",
    paper: "RefineCAM 2026, How to Evaluate and Refine your CAM, arXiv:2605.14641; maps by Chattopadhyay et al. 2018",
    cost: "1 forward pass, 1 backward pass down to the earliest layer",
    sanity: "not tested, as far as we know; its factors read the same gradients and activations as Grad-CAM, which passes",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[MethodParameter {
        name: "layers",
        default: Setting::Count(3),
        summary: "how many layers are multiplied: the chosen one and the last ones of the sizes before it",
    }],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let count = f.chosen.count("layers")?;
    let earlier = f.stages.iter().rev().filter(|stage| stage.value != f.layer.value);
    let layers: Vec<_> = [f.layer].into_iter().chain(earlier.take(count - 1)).collect();
    let largest = layers.iter().copied().fold(f.layer, |a, b| if places(b) > places(a) { b } else { a });
    let ([_, h, w], to) = (largest.shape, f.placement(largest)?);
    let mut product: Option<ValueId> = None;
    for layer in layers {
        let own = std::mem::replace(&mut f.layer, layer);
        let (map, placement) = (grad_cam_pp::build(f), f.placement(layer)?);
        f.layer = own;
        let map = map?;
        let mut b = f.builder(REFINE_CAM.id);
        let positive = by_largest(&mut b, map)?;
        let large = bring(&mut b, positive, &placement, ([h, w], &to))?;
        product = Some(match product {
            Some(product) => b.mul(product, large)?,
            None => large,
        });
    }
    product.ok_or_else(|| REFINE_CAM.not_applicable("there is no layer"))
}

fn places(layer: &Layer) -> usize {
    layer.shape[1] * layer.shape[2]
}

/// Builds ReLU(map) ÷ its maximum.
fn by_largest(b: &mut Builder<'_>, map: ValueId) -> Result<ValueId, GraphError> {
    let positive = b.relu(map)?;
    let largest = b.reduce(ReduceFunction::Max, positive, &[1, 2], true)?;
    divide_or_zero(b, positive, largest)
}
