//! Compares each multi-pass method with a direct implementation of its paper: loops over whole images that share
//! with the methods only the random keys, and the score and gradient of an image.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

#[path = "../common/mod.rs"]
mod common;
mod grids;
mod nets;
mod noise;
mod path;
mod pieces;
mod score_cams;
mod settings;
mod visible;
