//! Pictures: heat maps, overlays, signed gradients, contact sheets and learning curves.
//!
//! A raw map becomes a [`Map`]; [`heatmap`] and [`overlay`] draw it, and [`ColorBar::under`] adds the meaning of
//! its colours. [`Sheet`] arranges many pictures side by side, and [`LearningCurve`] shows a training run. [`CropTransform`]
//! maps the part of an image that a model sees onto a picture of that image. [`save_picture`] writes a picture
//! atomically. The module `colormap` has the colours and the reasons for them; `canvas` and `text` have the drawing
//! primitives.
//!
//! All texts in the pictures come from the caller. The same input gives the same bytes.

mod canvas;
mod color_bar;
mod colormap;
mod concepts;
mod crop_transform;
mod error;
mod file;
mod gradient_picture;
mod heatmap;
#[doc(hidden)] // for the other crates of this repository
pub mod outline;
mod plot;
mod sheet;
mod size;
mod text;

pub use color_bar::{ColorBar, format_number};
pub use colormap::Colormap;
pub use concepts::concepts;
pub use crop_transform::CropTransform;
pub use error::RenderError;
pub use file::{FileFormat, save_picture, save_png};
pub use gradient_picture::{ChannelReduction, gradient_picture, reduce_channels};
pub use heatmap::{HeatStyle, Map, heatmap, overlay, reason_picture};
pub use plot::{Curve, LearningCurve, Panel};
pub use sheet::{MAX_SHEET_COLUMNS, MAX_SHEET_ROWS, Sheet, SheetRow, sheet_rows};
pub use size::{PictureSize, scaled};
#[doc(hidden)] // for the other crates of this repository
pub use size::{fitted, size_of};
