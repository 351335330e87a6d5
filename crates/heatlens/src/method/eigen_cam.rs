//! Eigen-CAM.

use crate::method::principal::principal_map;
use crate::method::{Formula, MapKind, Method, MethodError, Work};
use heatlens_graph::ValueId;

/// Registry entry.
pub(super) static EIGEN_CAM: Method = Method {
    id: "eigen_cam",
    title: "Eigen-CAM",
    summary: "the pattern that the layer's channels share most, whatever the class",
    formula: "first principal component of the activations over places, its sign chosen so that it agrees with the mean activation",
    paper: "Muhammad and Yeasin 2020, Eigen-CAM: Class Activation Map using Principal Components, IJCNN",
    cost: "1 forward pass",
    sanity: "not tested, as far as we know; it does not depend on the class",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: Some(
        "the same picture for every class: it shows what the layer sees, not what speaks for the class",
    ),
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let activations = f.activations()?;
    Ok(principal_map(&mut f.builder(EIGEN_CAM.id), activations)?)
}
