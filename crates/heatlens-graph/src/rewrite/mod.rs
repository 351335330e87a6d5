//! Rewriting of graphs. A rewrite never edits its input: it builds a new graph, with a map from old to new values.

pub mod batch_statistics;
mod cut;
mod replace_input;
mod simplify;

pub use cut::{Tail, cut, replay};
pub use replace_input::{fix_inputs, replace_input};
pub use simplify::{Simplified, needed_nodes, simplify};
