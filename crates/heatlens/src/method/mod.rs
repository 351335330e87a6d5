//! Explanation methods, each in a file and a row of [`METHODS`].
//!
//! There are two kinds of [`Work`]. A *formula* is appended to the network's graph with a [`Formula`]; parts shared
//! by several formulas are computed once, because equal nodes are merged before the graph is compiled. *Passes* run
//! programs on many inputs derived from one image, with a [`PassContext`]. Methods do not depend on each other.

mod ablation_cam;
mod alias;
mod attention;
mod attention_rollout;
mod blur_ig;
mod cam;
pub mod catalogue;
mod centre;
mod d_rise;
mod deconvnet;
mod deep_feature_factorization;
mod deep_lift;
mod edges;
mod eigen_cam;
mod eigen_grad_cam;
mod element_wise_grad_cam;
mod error;
mod excitation_backprop;
mod expected_gradients;
mod extremal_perturbation;
mod fem;
mod finer_cam;
pub mod formula;
mod full_grad;
mod grad_cam;
mod grad_cam_pp;
mod gradient;
mod guided_backprop;
mod guided_grad_cam;
mod guided_ig;
mod hires_cam;
mod hsic;
mod input_x_gradient;
mod integrated_gradients;
mod is_cam;
mod kernel_shap;
mod kpca_cam;
mod layer_cam;
mod le_grad;
mod lime;
mod lrp_alpha_beta;
mod lrp_composite;
mod lrp_epsilon;
mod lrp_gamma;
pub mod multi_pass;
mod occlusion;
pub mod parameter;
mod parts;
mod principal;
mod random;
mod recipro_cam;
mod refine_cam;
mod rise;
mod score_cam;
mod shapley_cam;
mod smooth_grad;
mod smooth_grad_cam_pp;
mod sobol;
mod square_grad;
mod ss_cam;
mod var_grad;
mod xgrad_cam;

use heatlens_graph::ValueId;

pub use error::MethodError;
pub use formula::Formula;
pub use multi_pass::{MultiPass, PassContext, PassCount, PassInput, SharedPrograms, Stop};
pub use parameter::{Chosen, MethodParameter, MethodSettings, Setting};
pub(crate) use parts::blur;

/// The shape and meaning of a method's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// A heat map with one signed value per position, shape `n h w`: at the layer's resolution before any final
    /// ReLU, or at the image's resolution for methods that do not use a layer.
    Layer,
    /// One signed value per pixel and channel, shape `n c h w`.
    Input,
    /// One non-negative heat map for each of several patterns, shape `n k h w`.
    Concepts,
}

/// The computation of a method's map.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Appends the formula to the graph and returns the map. Such a map can be exported with the model.
    Graph(fn(&mut Formula<'_>) -> Result<ValueId, MethodError>),
    /// Prepares programs that are run many times for each image.
    Passes(fn(&PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError>),
}

/// A method as a row of the registry.
#[derive(Debug)]
pub struct Method {
    /// Id used on the command line.
    pub id: &'static str,
    /// Title for display.
    pub title: &'static str,
    /// One-sentence summary of the picture.
    pub summary: &'static str,
    /// Formula in symbols.
    pub formula: &'static str,
    /// Publication.
    pub paper: &'static str,
    /// Cost per image, in passes through the network.
    pub cost: &'static str,
    /// Sanity checks passed or failed in the literature.
    pub sanity: &'static str,
    /// Kind of map returned.
    pub kind: MapKind,
    /// True if the result depends on the chosen layer.
    pub uses_layer: bool,
    /// Caveat to know before trusting the picture.
    pub caution: Option<&'static str>,
    /// Parameters that can be set.
    pub parameters: &'static [MethodParameter],
    /// Computation of the map.
    pub work: Work,
}

/// Lists the rows once, for [`METHODS`] and for the constants of [`Method`].
macro_rules! registry {
    ($($module:ident :: $row:ident),* $(,)?) => {
        /// All methods, in display order.
        pub static METHODS: &[&Method] = &[$(&$module::$row),*];

        /// Methods as constants, so that a misspelt name is a compile-time error:
        ///
        /// ```compile_fail,E0599
        /// let method = heatlens::Method::GRAD_CAN;
        /// ```
        impl Method {
            $(
                #[doc = concat!("The method `", stringify!($module), "`.")]
                pub const $row: &'static Self = &$module::$row;
            )*
        }

        #[cfg(test)]
        const CONSTANTS: &[(&str, &Method)] = &[$((stringify!($row), Method::$row)),*];
    };
}

registry! {
    // Layer maps.
    cam::CAM,
    grad_cam::GRAD_CAM,
    grad_cam_pp::GRAD_CAM_PP,
    smooth_grad_cam_pp::SMOOTH_GRAD_CAM_PP,
    xgrad_cam::XGRAD_CAM,
    hires_cam::HIRES_CAM,
    element_wise_grad_cam::ELEMENT_WISE_GRAD_CAM,
    layer_cam::LAYER_CAM,
    shapley_cam::SHAPLEY_CAM,
    finer_cam::FINER_CAM,
    eigen_cam::EIGEN_CAM,
    eigen_grad_cam::EIGEN_GRAD_CAM,
    kpca_cam::KPCA_CAM,
    fem::FEM,
    ablation_cam::ABLATION_CAM,
    recipro_cam::RECIPRO_CAM,
    refine_cam::REFINE_CAM,
    full_grad::FULL_GRAD,
    attention_rollout::ATTENTION_ROLLOUT,
    le_grad::LE_GRAD,
    deep_feature_factorization::DEEP_FEATURE_FACTORIZATION,
    // Input maps.
    gradient::GRADIENT,
    guided_backprop::GUIDED_BACKPROP,
    guided_grad_cam::GUIDED_GRAD_CAM,
    // Modified backward rules.
    deconvnet::DECONVNET,
    input_x_gradient::INPUT_X_GRADIENT,
    lrp_epsilon::LRP_EPSILON,
    lrp_gamma::LRP_GAMMA,
    lrp_alpha_beta::LRP_ALPHA_BETA,
    lrp_composite::LRP_COMPOSITE,
    excitation_backprop::EXCITATION_BACKPROP,
    deep_lift::DEEP_LIFT,
    // Multi-pass methods.
    smooth_grad::SMOOTH_GRAD,
    var_grad::VAR_GRAD,
    square_grad::SQUARE_GRAD,
    integrated_gradients::INTEGRATED_GRADIENTS,
    blur_ig::BLUR_IG,
    guided_ig::GUIDED_IG,
    expected_gradients::EXPECTED_GRADIENTS,
    occlusion::OCCLUSION,
    rise::RISE,
    d_rise::D_RISE,
    lime::LIME,
    kernel_shap::KERNEL_SHAP,
    sobol::SOBOL,
    hsic::HSIC,
    extremal_perturbation::EXTREMAL_PERTURBATION,
    score_cam::SCORE_CAM,
    ss_cam::SS_CAM,
    is_cam::IS_CAM,
    // Controls.
    random::RANDOM,
    edges::EDGES,
    centre::CENTRE,
}

/// Default methods by role.
#[derive(Clone, Copy, Debug)]
pub struct DefaultMethods {
    /// Heat map over the image.
    pub heat: &'static Method,
    /// Heat map for scores at positions, which keeps the location of the gradient.
    pub heat_at_places: &'static Method,
    /// Heat map if no layer has rows and columns, or the model cannot be differentiated; needs scores only.
    pub heat_otherwise: &'static Method,
    /// Picture with pixel-level detail.
    pub fine: &'static Method,
    /// Pixel-level detail within the heat map.
    pub both: &'static Method,
    /// Pixel-level detail if `fine` has no rule for the network's activations.
    pub fine_otherwise: &'static Method,
}

/// Returns the methods of the five default pictures (heat map and overlay, guided backpropagation, guided
/// Grad-CAM), with replacements for models to which they do not apply.
/// [`ExplainOptions::take_default_methods`](crate::explain::ExplainOptions::take_default_methods) chooses between
/// them.
#[must_use]
pub fn default_explain_methods() -> DefaultMethods {
    DefaultMethods {
        heat: &grad_cam::GRAD_CAM,
        heat_at_places: &hires_cam::HIRES_CAM,
        heat_otherwise: &occlusion::OCCLUSION,
        fine: &guided_backprop::GUIDED_BACKPROP,
        both: &guided_grad_cam::GUIDED_GRAD_CAM,
        fine_otherwise: &gradient::GRADIENT,
    }
}

/// Returns the controls, which ignore the model and serve as baselines for all methods.
#[must_use]
pub fn controls() -> Vec<&'static Method> {
    vec![&random::RANDOM, &edges::EDGES, &centre::CENTRE]
}

/// Returns the methods an audit compares by default: the best known of every family, and the controls. All take one
/// pass.
#[must_use]
pub fn default_audit_methods() -> Vec<&'static Method> {
    let mut methods: Vec<&'static Method> = vec![
        &grad_cam::GRAD_CAM,
        &grad_cam_pp::GRAD_CAM_PP,
        &hires_cam::HIRES_CAM,
        &layer_cam::LAYER_CAM,
        &eigen_cam::EIGEN_CAM,
        &gradient::GRADIENT,
        &input_x_gradient::INPUT_X_GRADIENT,
        &guided_backprop::GUIDED_BACKPROP,
        &guided_grad_cam::GUIDED_GRAD_CAM,
    ];
    methods.extend(controls());
    methods
}

/// Returns the control that does not depend on the model, used as a reference bound.
pub(crate) fn edges() -> &'static Method {
    &edges::EDGES
}

/// Returns the plain gradient, used as a reference bound.
pub(crate) fn gradient() -> &'static Method {
    &gradient::GRADIENT
}

/// Returns the method with the given name: its id, its title, or a name from another library, regardless of case
/// and hyphens.
///
/// # Errors
/// If there is no such method; the error lists similar names.
pub fn find(name: &str) -> Result<&'static Method, MethodError> {
    let id = alias::id_of(name);
    let found = id.and_then(|id| METHODS.iter().find(|m| m.id == id));
    found.copied().ok_or_else(|| MethodError::Unknown { id: name.to_owned(), near: alias::near(name) })
}

impl Method {
    /// Returns the names in other libraries besides id and title, in lower case without hyphens.
    #[must_use]
    pub fn other_names(&self) -> Vec<&'static str> {
        alias::others(self.id)
    }

    /// Returns the error that this method does not apply.
    #[must_use]
    pub fn not_applicable(&self, reason: impl Into<String>) -> MethodError {
        MethodError::NotApplicable { id: self.id, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_called_as_its_method_is() {
        assert_eq!(CONSTANTS.len(), METHODS.len());
        for ((name, constant), row) in CONSTANTS.iter().zip(METHODS) {
            assert_eq!((name.to_lowercase().as_str(), constant.id), (row.id, row.id));
        }
    }

    #[test]
    fn rows_are_complete_and_ids_are_unique() {
        for (i, method) in METHODS.iter().enumerate() {
            assert!(METHODS[..i].iter().all(|other| other.id != method.id), "{} twice", method.id);
            assert!(method.id.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            let texts =
                [method.title, method.summary, method.formula, method.paper, method.cost, method.sanity];
            assert!(texts.iter().all(|t| !t.is_empty()), "{} is incomplete", method.id);
            for (j, parameter) in method.parameters.iter().enumerate() {
                assert!(method.parameters[..j].iter().all(|other| other.name != parameter.name));
                assert!(!parameter.summary.is_empty(), "{}.{}", method.id, parameter.name);
            }
        }
    }
}
