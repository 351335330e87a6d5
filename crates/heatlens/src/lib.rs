//! heatlens shows where an image classifier looks, and says whether that picture can be believed.
//!
//! The way from a file to a picture: [`model`] opens a classifier and finds its logits and layers,
//! [`method`] holds the explanation methods, [`explain`] appends their formulas to the network and
//! runs them, [`run`] writes the pictures, [`export`] writes models that explain themselves. [`train`] makes a classifier where there is none,
//! [`data`] reads images and arrays, [`trust`] asks whether the model knows anything at all. [`localise`] makes boxes and
//! masks of maps, [`dataset`] looks at all images together, [`report`] puts everything on one page.
//!
//! The graph, its derivatives and the model formats are re-exported as [`graph`].
//!
//! ```
//! use heatlens::explain::{ExplainOptions, Explainer};
//! use heatlens::method;
//! use heatlens::model::Model;
//! use heatlens::train::arch;
//!
//! // A fresh network; Model::open(path) takes a file instead.
//! let network = arch::find("gap-cnn").ok_or("no such network")?.build([1, 32, 32], 2, 0)?;
//! let model = Model::from_graph(network)?;
//! let explainer = Explainer::new(&model, &ExplainOptions::new(&[method::find("grad_cam")?]))?;
//! let explanation = explainer.explain(&[0.5; 32 * 32], 1)?.remove(0);
//! let map = &explanation.attributions[0];
//! assert_eq!(map.shape, [6, 6]);
//! println!("class {}, evidence from {} to {}", explanation.predicted, map.raw_min, map.raw_max);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod bench;
pub mod bilinear;
pub mod data;
pub mod dataset;
pub mod demo;
pub mod demo_data;
pub mod explain;
pub mod export;
pub mod localise;
pub mod method;
pub mod metric;
pub mod model;
mod nearest;
pub mod predict;
pub mod random;
pub mod reference;
pub mod render;
pub mod report;
pub mod rule;
pub mod run;
pub mod stats;
pub mod target;
pub mod train;
pub mod trust;

pub use heatlens_graph as graph;
