//! One file for each command.

mod again;
pub(crate) mod audit;
mod begun;
pub(crate) mod bench;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod explain;
mod folder;
pub(crate) mod inspect;
mod localise;
pub(crate) mod merge;
pub(crate) mod methods;
mod open;
pub(crate) mod predict;
mod report;
mod shards;
pub(crate) mod train;
mod verdict;
