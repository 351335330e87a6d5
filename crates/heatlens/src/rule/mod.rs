//! Rules that replace a node's derivative in the backward pass, one per file.

mod deconvnet;
mod deep_lift;
mod guided;
mod network;
mod rectifier;
mod relevance;

pub use deconvnet::Deconvnet;
pub use deep_lift::DeepLift;
pub use guided::Guided;
pub use network::Network;
pub use relevance::{Composite, LayerPosition, LayerRule, Relevance};
