//! Interpretation of a graph as a classifier: its inputs, its head, its layers and their names.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

mod attention;
#[path = "../common/mod.rs"]
mod common;
mod heads;
mod inputs;
mod meanings;
mod names;
mod nets;
mod planted;
mod scaling;
mod tokens;
