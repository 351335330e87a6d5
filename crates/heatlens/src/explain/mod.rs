//! From a model and a choice of methods to a program, and from images to maps.
//!
//! [`Explainer::new`] appends every method's formula to the network, merges what they share and
//! compiles the whole as one program; [`Explainer::explain`] runs it. What comes out is an
//! [`Explanation`]: scores, and one [`Attribution`] for each method, layer and class.

mod assembly;
mod attribution;
mod compat;
mod defaults;
mod drawing;
mod error;
mod estimate;
mod explainer;
mod focus;
mod fusion;
mod heat;
mod map_spec;
mod options;
mod smoothing;
mod tensors;

pub use assembly::append_maps;
pub use attribution::{Attribution, Explanation, ZeroMap};
pub use compat::Compat;
pub use error::ExplainError;
pub use estimate::Estimate;
pub use explainer::Explainer;
pub use focus::Focus;
pub use fusion::Fusion;
pub use map_spec::MapSpec;
pub use options::ExplainOptions;
pub use tensors::Tensors;

pub use crate::target::{Score, Target};
