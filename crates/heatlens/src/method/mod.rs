//! The explanation methods: one file each, one row of [`METHODS`] each.
//!
//! A method is a formula appended to the network's graph, written with a [`Formula`]. Methods know
//! nothing of each other; what two of them have in common is computed once, because equal nodes of
//! a graph are merged before it is compiled.

mod cam;
mod error;
pub mod formula;
mod grad_cam;
mod gradient;
mod guided_backprop;
mod guided_grad_cam;

use heatlens_graph::ValueId;

pub use error::MethodError;
pub use formula::Formula;

/// What a method's result looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// A map at the layer's resolution, N×h×w, signed, before any final ReLU.
    Layer,
    /// A map at the image's resolution, N×C×H×W, signed.
    Input,
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
    /// What its result looks like.
    pub kind: MapKind,
    /// Whether the choice of layer matters.
    pub uses_layer: bool,
    /// What a person must know before believing the picture.
    pub caution: Option<&'static str>,
    /// Appends the formula and returns the map.
    pub build: fn(&mut Formula<'_>) -> Result<ValueId, MethodError>,
}

/// Every method, in the order in which they are listed and drawn.
pub static METHODS: &[&Method] = &[
    &cam::CAM,
    &grad_cam::GRAD_CAM,
    &gradient::GRADIENT,
    &guided_backprop::GUIDED_BACKPROP,
    &guided_grad_cam::GUIDED_GRAD_CAM,
];

/// The methods behind the five pictures that everybody wants first: heat map and overlay, guided
/// back-propagation, guided Grad-CAM.
#[must_use]
pub fn first_look() -> Vec<&'static Method> {
    vec![&grad_cam::GRAD_CAM, &guided_backprop::GUIDED_BACKPROP, &guided_grad_cam::GUIDED_GRAD_CAM]
}

/// The method called `id`.
///
/// # Errors
/// If there is none; the error lists all.
pub fn find(id: &str) -> Result<&'static Method, MethodError> {
    let found = METHODS.iter().find(|m| m.id == id);
    found.copied().ok_or_else(|| MethodError::Unknown { id: id.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_complete_and_ids_are_unique() {
        for (i, method) in METHODS.iter().enumerate() {
            assert!(METHODS[..i].iter().all(|other| other.id != method.id), "{} twice", method.id);
            assert!(method.id.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            let texts = [method.title, method.summary, method.formula, method.paper];
            assert!(texts.iter().all(|t| !t.is_empty()), "{} is incomplete", method.id);
        }
    }
}
