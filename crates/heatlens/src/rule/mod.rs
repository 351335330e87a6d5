//! Rules that replace a node's derivative during the backward walk. A rule is one file.

mod guided;

pub use guided::Guided;
