//! Alternative names of the methods, including those in other libraries.
//!
//! Names are compared without case, spaces, hyphens and underscores, and with `+` read as p, so that `gradcam`,
//! `Grad-CAM` and `grad_cam` are equal. Ids and titles are always accepted; [`NAMES`] adds the names used in
//! pytorch-grad-cam, torchcam, Captum, tf-keras-vis, Xplique and SHAP.

use crate::method::METHODS;

/// Alternative names in normalized form, with the id of the method.
const NAMES: &[(&str, &str)] = &[
    ("classactivationmap", "cam"),
    ("classactivationmapping", "cam"),
    ("gradcamplusplus", "grad_cam_pp"),
    ("smoothgradcamplusplus", "smooth_grad_cam_pp"),
    ("axiombasedgradcam", "xgrad_cam"),
    ("gradcamelementwise", "element_wise_grad_cam"),
    ("kernelpcacam", "kpca_cam"),
    ("fullgradient", "full_grad"),
    ("featureexplanationmap", "fem"),
    ("slidingwindow", "occlusion"),
    ("rollout", "attention_rollout"),
    ("dff", "deep_feature_factorization"),
    ("deepfeaturefactorizations", "deep_feature_factorization"),
    ("saliency", "gradient"),
    ("saliencymap", "gradient"),
    ("vanilla", "gradient"),
    ("vanillagradient", "gradient"),
    ("vanillasaliency", "gradient"),
    ("grad", "gradient"),
    ("gradients", "gradient"),
    ("guidedbackpropagation", "guided_backprop"),
    ("gbp", "guided_backprop"),
    ("deconvolution", "deconvnet"),
    ("gradientinput", "input_x_gradient"),
    ("gradientxinput", "input_x_gradient"),
    ("gradtimesinput", "input_x_gradient"),
    ("gradienttimesinput", "input_x_gradient"),
    ("inputgradient", "input_x_gradient"),
    ("inputtimesgradient", "input_x_gradient"),
    ("lrp", "lrp_epsilon"),
    ("layerwiserelevancepropagation", "lrp_epsilon"),
    ("excitationbp", "excitation_backprop"),
    ("ebp", "excitation_backprop"),
    ("deepliftrescale", "deep_lift"),
    ("deepexplainer", "deep_lift"),
    ("noisetunnel", "smooth_grad"),
    ("ig", "integrated_gradients"),
    ("integratedgradient", "integrated_gradients"),
    ("intgrad", "integrated_gradients"),
    ("blurintegratedgradients", "blur_ig"),
    ("guidedintegratedgradients", "guided_ig"),
    ("gradientshap", "expected_gradients"),
    ("gradientexplainer", "expected_gradients"),
    ("shap", "kernel_shap"),
    ("kernelexplainer", "kernel_shap"),
    ("sobolattributionmethod", "sobol"),
    ("hsicattributionmethod", "hsic"),
    ("smoothscorecam", "ss_cam"),
    ("integratedscorecam", "is_cam"),
];

/// Minimum Jaro–Winkler similarity of a suggested name; [`SUGGESTED`] is the maximum number of suggestions.
const ALIKE: f64 = 0.8;
const SUGGESTED: usize = 3;

/// Returns the normalized form of a name.
fn plain(name: &str) -> String {
    let letters = name.chars().flat_map(char::to_lowercase).map(|c| if c == '+' { 'p' } else { c });
    // "Grad × input" is spelled with the sign × as well as with a letter.
    letters.map(|c| if c == '×' { 'x' } else { c }).filter(|c| c.is_alphanumeric()).collect()
}

/// Returns every accepted name in normalized form, with the id of its method.
fn known() -> impl Iterator<Item = (String, &'static str)> {
    let own = METHODS.iter().flat_map(|m| [(plain(m.id), m.id), (plain(m.title), m.id)]);
    own.chain(NAMES.iter().map(|&(name, id)| (plain(name), id)))
}

/// Returns the id of the method with the given name.
pub(super) fn id_of(name: &str) -> Option<&'static str> {
    let name = plain(name);
    known().find(|(known, _)| *known == name).map(|(_, id)| id)
}

/// Returns the ids of the methods with the most similar names, most similar first.
pub(super) fn near(name: &str) -> Vec<&'static str> {
    let name = plain(name);
    let mut scored: Vec<(f64, &'static str)> =
        known().map(|(known, id)| (strsim::jaro_winkler(&known, &name), id)).collect();
    scored.retain(|(alike, _)| *alike >= ALIKE);
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut near = Vec::new();
    for (_, id) in scored {
        if near.len() < SUGGESTED && !near.contains(&id) {
            near.push(id);
        }
    }
    near
}

/// Returns the alternative names of a method.
pub(super) fn others(id: &str) -> Vec<&'static str> {
    NAMES.iter().filter(|(_, of)| *of == id).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::find;

    #[test]
    fn names_of_the_field_are_understood() {
        for (name, id) in [
            ("gradcam", "grad_cam"),
            ("Grad-CAM", "grad_cam"),
            ("grad-cam", "grad_cam"),
            ("GradCAM", "grad_cam"),
            ("gradcam++", "grad_cam_pp"),
            ("Grad-CAM++", "grad_cam_pp"),
            ("gradcampp", "grad_cam_pp"),
            ("GradCAMPlusPlus", "grad_cam_pp"),
            ("SmoothGradCAMpp", "smooth_grad_cam_pp"),
            ("scorecam", "score_cam"),
            ("eigencam", "eigen_cam"),
            ("eigengradcam", "eigen_grad_cam"),
            ("layercam", "layer_cam"),
            ("xgradcam", "xgrad_cam"),
            ("hirescam", "hires_cam"),
            ("ablationcam", "ablation_cam"),
            ("SSCAM", "ss_cam"),
            ("guided-backprop", "guided_backprop"),
            ("GuidedGradCam", "guided_grad_cam"),
            ("IG", "integrated_gradients"),
            ("saliency", "gradient"),
            ("vanilla gradient", "gradient"),
            ("Input × gradient", "input_x_gradient"),
            ("InputXGradient", "input_x_gradient"),
            ("SobolAttributionMethod", "sobol"),
            ("KPCA_CAM", "kpca_cam"),
            ("Deconvolution", "deconvnet"),
        ] {
            assert_eq!(find(name).map(|m| m.id).map_err(|e| e.to_string()), Ok(id), "{name}");
        }
    }

    #[test]
    fn every_name_means_one_method_that_there_is() {
        let all: Vec<(String, &str)> = known().collect();
        for (name, id) in &all {
            assert!(METHODS.iter().any(|m| m.id == *id), "{name} means {id}, which there is not");
            assert_eq!(id_of(name), Some(*id), "{name} means two methods");
        }
    }

    #[test]
    fn a_slip_gets_the_nearest_and_not_all() {
        assert_eq!(near("gradcma").first(), Some(&"grad_cam"));
        assert_eq!(near("integrated_gradinets").first(), Some(&"integrated_gradients"));
        assert!(near("zzz").is_empty());
        let said = find("gradcma").unwrap_err().to_string();
        assert!(said.contains("did you mean grad_cam") && said.contains("`heatlens methods`"), "{said}");
        assert!(said.len() < 150, "{said}");
    }
}
