//! Pictures for people: heat maps, overlays, signed gradients, contact sheets and learning curves.
//!
//! A raw map becomes a [`Map`]; [`heatmap`] and [`overlay`] draw it, [`ColorBar::under`] says what its colours mean,
//! [`Sheet`] puts many pictures side by side and [`LearningCurve`] shows a training run. [`View`] says where the part of an
//! image that a model sees lies on a picture of it. [`save_picture`] writes a picture whole or not at all. `colormap` says which colours and why; `canvas` and `text` hold the drawing itself.
//!
//! Nothing here decides what a picture means: the words come from the caller. The same input gives the same bytes.

mod canvas;
mod color_bar;
mod colormap;
mod concepts;
mod error;
mod file;
mod gradient_picture;
mod heatmap;
pub(crate) mod outline;
mod plot;
mod sheet;
mod size;
mod text;
mod view;

pub use color_bar::{ColorBar, format_number};
pub use colormap::Colormap;
pub use concepts::concepts;
pub use error::RenderError;
pub use file::{FileFormat, save_picture, save_png};
pub use gradient_picture::{ChannelReduction, gradient_picture, reduce_channels};
pub use heatmap::{HeatStyle, Map, heatmap, overlay, reason_picture};
pub use plot::{Curve, LearningCurve, Panel};
pub use sheet::{MAX_SHEET_COLUMNS, MAX_SHEET_ROWS, Sheet, SheetRow, sheet_rows};
pub use size::{PictureSize, scaled};
pub(crate) use size::{fitted, size_of};
pub use view::View;
