//! Measures of explanations. One file each.

mod energy;

pub use energy::{chance_share, energy_share};
