//! The explanation methods: one file each, one row of [`METHODS`] each.
//!
//! A method is one of two kinds of [`Work`]. A *formula* is appended to the network's graph, written
//! with a [`Formula`]; what two formulas have in common is computed once, because equal nodes of a
//! graph are merged before it is compiled. *Passes* run programs on many inputs derived from one
//! image, written with a [`Study`]. Methods know nothing of each other.

mod ablation_cam;
mod alias;
mod attention;
mod attention_rollout;
mod blur_ig;
mod cam;
pub mod catalogue;
mod centre;
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
pub mod study;
mod var_grad;
mod xgrad_cam;

use heatlens_graph::ValueId;

pub use error::MethodError;
pub use formula::Formula;
pub use parameter::{Chosen, Parameter, Setting, Settings};
pub(crate) use parts::blur;
pub use study::{PassCount, Passes, Shared, Study, Subject};

/// What a method's result looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// A heat map, one signed number for each place, N×h×w: at the layer's resolution before any
    /// final ReLU, or at the image's for methods that look at no layer.
    Layer,
    /// One signed number for each pixel and channel, N×C×H×W.
    Input,
    /// A heat map for each of several patterns, N×k×h×w, none of them negative.
    Concepts,
}

/// How a method comes to its map.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Appends its formula to the graph and returns the map. Such a map can be exported with the model.
    Graph(fn(&mut Formula<'_>) -> Result<ValueId, MethodError>),
    /// Prepares programs that are run many times for each image.
    Passes(fn(&Study<'_>) -> Result<Box<dyn Passes>, MethodError>),
}

/// A row of the registry.
#[derive(Debug)]
pub struct Method {
    /// What people type.
    pub id: &'static str,
    /// What people read.
    pub title: &'static str,
    /// What the picture shows, in one sentence.
    pub summary: &'static str,
    /// The formula in symbols.
    pub formula: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What it costs for an image, in passes through the network.
    pub cost: &'static str,
    /// Which sanity checks it passes or fails in the literature.
    pub sanity: &'static str,
    /// What its result looks like.
    pub kind: MapKind,
    /// Whether the choice of layer matters.
    pub uses_layer: bool,
    /// What a person must know before believing the picture.
    pub caution: Option<&'static str>,
    /// What can be set.
    pub parameters: &'static [Parameter],
    /// How it is computed.
    pub work: Work,
}

/// Lists the rows once: for [`METHODS`], and for the constants of [`Method`].
macro_rules! registry {
    ($($module:ident :: $row:ident),* $(,)?) => {
        /// Every method, in the order in which they are listed and drawn.
        pub static METHODS: &[&Method] = &[$(&$module::$row),*];

        /// The methods by name, so that a misspelt one is an error of the compiler:
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
    // Maps of a layer.
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
    // Maps of the pixels.
    gradient::GRADIENT,
    guided_backprop::GUIDED_BACKPROP,
    guided_grad_cam::GUIDED_GRAD_CAM,
    // Other rules on the way back.
    deconvnet::DECONVNET,
    input_x_gradient::INPUT_X_GRADIENT,
    lrp_epsilon::LRP_EPSILON,
    lrp_gamma::LRP_GAMMA,
    lrp_alpha_beta::LRP_ALPHA_BETA,
    lrp_composite::LRP_COMPOSITE,
    excitation_backprop::EXCITATION_BACKPROP,
    deep_lift::DEEP_LIFT,
    // Methods of many passes.
    smooth_grad::SMOOTH_GRAD,
    var_grad::VAR_GRAD,
    square_grad::SQUARE_GRAD,
    integrated_gradients::INTEGRATED_GRADIENTS,
    blur_ig::BLUR_IG,
    guided_ig::GUIDED_IG,
    expected_gradients::EXPECTED_GRADIENTS,
    occlusion::OCCLUSION,
    rise::RISE,
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

/// What a person sees first, by the part each method plays.
#[derive(Clone, Copy, Debug)]
pub struct FirstLook {
    /// The heat map over the image.
    pub heat: &'static Method,
    /// The heat map of scores at places: one that keeps where the gradient is.
    pub heat_at_places: &'static Method,
    /// The heat map where no layer has rows and columns, or nothing can be differentiated: it needs scores alone.
    pub heat_otherwise: &'static Method,
    /// The picture in the image's own detail.
    pub fine: &'static Method,
    /// That detail where the heat map is warm.
    pub both: &'static Method,
    /// The detail where `fine` has no rule for the network's activations.
    pub fine_otherwise: &'static Method,
}

/// The methods behind the five pictures that everybody wants first (heat map and overlay, guided back-propagation,
/// guided Grad-CAM), and what takes their place where they have no definition.
/// [`ExplainOptions::take_default_methods`](crate::explain::ExplainOptions::take_default_methods) chooses.
#[must_use]
pub fn first_look() -> FirstLook {
    FirstLook {
        heat: &grad_cam::GRAD_CAM,
        heat_at_places: &hires_cam::HIRES_CAM,
        heat_otherwise: &occlusion::OCCLUSION,
        fine: &guided_backprop::GUIDED_BACKPROP,
        both: &guided_grad_cam::GUIDED_GRAD_CAM,
        fine_otherwise: &gradient::GRADIENT,
    }
}

/// The controls, which look at no model: what a method must beat to say anything.
#[must_use]
pub fn controls() -> Vec<&'static Method> {
    vec![&random::RANDOM, &edges::EDGES, &centre::CENTRE]
}

/// What is compared by default where methods are judged: of every family the best known, and the controls. All take
/// one pass.
#[must_use]
pub fn judged_by_default() -> Vec<&'static Method> {
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

/// The control that stays the same whatever the model: a yardstick.
pub(crate) fn edges() -> &'static Method {
    &edges::EDGES
}

/// The plain derivative: a yardstick.
pub(crate) fn gradient() -> &'static Method {
    &gradient::GRADIENT
}

/// The method called `name`: its id, its title, or what another library calls it, however it is capitalised and
/// hyphenated.
///
/// # Errors
/// If there is none; the error names the nearest.
pub fn find(name: &str) -> Result<&'static Method, MethodError> {
    let id = alias::id_of(name);
    let found = id.and_then(|id| METHODS.iter().find(|m| m.id == id));
    found.copied().ok_or_else(|| MethodError::Unknown { id: name.to_owned(), near: alias::near(name) })
}

impl Method {
    /// What other libraries call it, besides its id and title, in lower case without hyphens.
    #[must_use]
    pub fn other_names(&self) -> Vec<&'static str> {
        alias::others(self.id)
    }

    /// The error that this method does not apply.
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
