//! One file per command.

mod again;
pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod inspect;
pub(crate) mod man;
pub(crate) mod merge;
pub(crate) mod methods;
mod open;
pub(crate) mod predict;
pub(crate) mod summary;
pub(crate) mod train;
mod verdict;
