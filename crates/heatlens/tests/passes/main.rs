//! Methods of many passes, each against a plain rendering of its paper: loops over whole images that
//! share nothing with the methods but the random numbers' keys and the score and gradient of an image.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may fail where it stands

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
