//! KPCA-CAM.

use crate::method::principal::kernel_map;
use crate::method::{Formula, MapKind, Method, MethodError, Work};
use heatlens_graph::ValueId;

/// Registry entry.
pub(super) static KPCA_CAM: Method = Method {
    id: "kpca_cam",
    title: "KPCA-CAM",
    summary: "Eigen-CAM that also finds patterns that are not a weighted sum of channels",
    formula: "first principal component of the activations under the kernel tanh(γ ⟨aᵢ, aⱼ⟩ + 1), γ = 1 ÷ channels",
    paper: "Karmani et al. 2024, KPCA-CAM: Visual Explainability of Deep Computer Vision Models Using Kernel PCA, MMSP",
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
    Ok(kernel_map(&mut f.builder(KPCA_CAM.id), activations)?)
}
