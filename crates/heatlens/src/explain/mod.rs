//! Explanations: programs compiled from a model and a list of methods, and the maps they compute for images.
//!
//! [`Explainer::new`] appends every method's formula to the network, merges common subexpressions and compiles the
//! result into one program, which [`Explainer::explain`] runs. The result is an [`ImageAttributions`]: scores, and one
//! [`Attribution`] per method, layer and class.

mod assembly;
mod attribution;
mod compat;
mod cost;
mod defaults;
mod drawing;
mod error;
mod explainer;
mod focus;
mod fusion;
mod heat;
mod map_spec;
mod options;
mod smoothing;
mod tensors;

pub use assembly::append_maps;
pub use attribution::{Attribution, ImageAttributions, ZeroMap};
pub use compat::Compat;
pub use cost::CostEstimate;
pub use error::ExplainError;
pub use explainer::Explainer;
pub use focus::Focus;
pub use fusion::Fusion;
pub use map_spec::MapSpec;
pub use options::ExplainOptions;
pub use tensors::Tensors;

pub use crate::target::{Score, Target};
