//! Control that highlights the centre of the image.

use crate::method::{Formula, MapKind, Method, MethodError, Work};
use heatlens_graph::{Shape, Tensor, ValueId};

/// Registry entry.
pub(super) static CENTRE: Method = Method {
    id: "centre",
    title: "Centre (control)",
    summary: "a bump in the middle of every image: what a method must beat to say where the object is",
    formula: "e^(−r² ÷ 2σ²), r from the middle in units of the image's half sides, σ = ½",
    paper: "a control, as the centre bias of Judd et al. 2009, Learning to Predict Where Humans Look, ICCV",
    cost: "nothing",
    sanity: "a control: it depends on neither the image nor the model",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some("a control, not an explanation: it ignores the model"),
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let image = f.graph.fact(f.image).shape.clone();
    let &[_, _, height, width] = image.at(1).as_slice() else {
        return Err(CENTRE.not_applicable("the image has no rows and columns"));
    };
    let bump = (0..height * width).map(|i| gauss(i / width, height) * gauss(i % width, width)).collect();
    let mut b = f.builder(CENTRE.id);
    let bump = b.constant(Tensor::f32(&[1, height, width], bump));
    Ok(b.expand(bump, Shape(vec![image.0[0], height.into(), width.into()]))?)
}

/// Returns the Gaussian at index `at` of an axis of length `len`.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn gauss(at: usize, len: usize) -> f32 {
    let r = (at as f64 + 0.5) / len as f64 * 2.0 - 1.0;
    libm::exp(-r * r / (2.0 * 0.25)) as f32
}
