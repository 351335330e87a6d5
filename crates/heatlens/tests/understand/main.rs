//! How a graph is understood as a classifier: its inputs, its head, its layers and what they are called.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may fail where it stands

mod attention;
mod heads;
mod inputs;
mod meanings;
mod names;
mod nets;
mod scaling;
mod tokens;
