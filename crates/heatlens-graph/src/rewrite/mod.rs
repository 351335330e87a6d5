//! Graphs in, better graphs out. A rewrite never edits a graph that somebody holds: it builds a
//! new one and says where each old value went.

pub mod batch_statistics;
mod cut;
mod replace_input;
mod simplify;

pub use cut::{Tail, cut, replay};
pub use replace_input::{fix_inputs, replace_input};
pub use simplify::{Simplified, needed_nodes, simplify};
