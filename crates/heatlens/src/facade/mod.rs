//! High-level interface: from a model and an image file to a picture in a few calls. It only combines
//! [`explain`](crate::explain), [`data`](crate::data) and [`render`](crate::render), which can also be used directly.

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
