//! The front door: from a model and an image file to a picture in a few calls. It holds no logic of its own: what it does
//! is done by [`explain`](crate::explain), [`data`](crate::data) and [`render`](crate::render), which stay open to
//! whoever needs more.

mod builder;
mod drawing;
mod explanation;
mod heatmap;
mod images;

pub use builder::{ClassChoice, ExplainerBuilder};
pub use drawing::Drawing;
pub use explanation::Explanation;
pub use heatmap::Heatmap;

#[cfg(test)]
mod tests;
