//! heatlens shows where an image classifier looks, and says whether that picture can be believed.
//!
//! The way from a file to a picture: [`model`] opens a classifier and finds its logits and layers,
//! [`method`] holds the explanation methods, [`explain`] appends their formulas to the network and
//! runs them, [`gallery`] writes the pictures. [`train`] makes a classifier where there is none,
//! [`data`] reads images and arrays, [`trust`] asks whether the model knows anything at all.
//!
//! The graph, its derivatives and the model formats are re-exported as [`graph`].

#![forbid(unsafe_code)]

pub mod data;
pub mod demo;
pub mod demo_data;
pub mod explain;
pub mod gallery;
pub mod method;
pub mod metric;
pub mod model;
pub mod predict;
pub mod random;
pub mod render;
pub mod rule;
pub mod train;
pub mod trust;

pub use heatlens_graph as graph;
