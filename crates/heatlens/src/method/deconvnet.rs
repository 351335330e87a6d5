//! Deconvnet.

use heatlens_graph::ValueId;

use crate::method::{Formula, MapKind, Method, MethodError, Work};
use crate::rule::Deconvnet;

/// Registry entry.
pub(super) static DECONVNET: Method = Method {
    id: "deconvnet",
    title: "Deconvnet",
    summary: "the score projected back to the pixels, rectified at each rectifier on the way: edges and textures",
    formula: "∂y/∂x with g ← g · [g > 0] in place of the derivative of every rectifier",
    paper: "Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks, ECCV",
    cost: "1 forward pass, 1 backward pass",
    sanity: "fails: the map hardly depends on the neuron explained (Mahendran and Vedaldi 2016) or on the later layers (Sixt et al. 2020)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some("edge-like; hardly depends on the class or on the later layers (Sixt et al. 2020)"),
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let network = f.network();
    Ok(f.input_gradient(&Deconvnet(&network))?)
}
