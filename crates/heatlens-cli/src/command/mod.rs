//! One file for each command.

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod explain;
mod folder;
pub(crate) mod inspect;
mod localise;
pub(crate) mod methods;
mod open;
pub(crate) mod predict;
mod report;
pub(crate) mod train;
