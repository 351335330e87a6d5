//! Guided Grad-CAM.

use heatlens_graph::ValueId;

use crate::method::{Formula, MapKind, Method, MethodError, Work, grad_cam, guided_backprop};

/// Registry entry.
pub(super) static GUIDED_GRAD_CAM: Method = Method {
    id: "guided_grad_cam",
    title: "Guided Grad-CAM",
    summary: "guided back-propagation, kept only where Grad-CAM sees evidence for the class",
    formula: "guided back-propagation × bilinear enlargement of ReLU(Grad-CAM), nothing normalised",
    paper: "Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks, ICCV",
    cost: "1 forward pass, 2 backward passes",
    sanity: "fails the randomisation tests (Adebayo et al. 2018)",
    kind: MapKind::Input,
    uses_layer: true,
    caution: Some(
        "edge-like; its fine detail is guided back-propagation's, which fails the randomisation tests of Adebayo et al. 2018",
    ),
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let fine = guided_backprop::build(f)?;
    let coarse = grad_cam::build(f)?;
    let positive = f.builder(GUIDED_GRAD_CAM.id).relu(coarse)?;
    let large = f.upsample_to_image(positive)?;
    let plane = f.as_plane(large)?;
    Ok(f.builder(GUIDED_GRAD_CAM.id).mul(fine, plane)?)
}
