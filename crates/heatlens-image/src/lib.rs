//! Images and labels in, pictures out: the files that heatlens reads and draws.
//!
//! [`data`] reads folders, image files and arrays, and converts them to model inputs. [`render`] draws heat maps, overlays
//! and sheets. [`placement`] and [`bilinear`] say where the cells of a map lie on the image. The crate `heatlens`
//! re-exports what its users need.

#![forbid(unsafe_code)]

pub mod bilinear;
pub mod data;
pub mod extremes;
pub mod nearest;
pub mod placement;
pub mod random;
pub mod render;
