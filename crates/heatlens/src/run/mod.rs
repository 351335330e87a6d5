//! Complete runs: from a request to a folder of results.
//!
//! A [request](ExplainRequest) holds the user's options as plain values. A [plan](ExplainPlan) validates them and opens
//! the files they name. [`Pipeline`] processes the images and passes each to every [`Sink`]: pictures, arrays, contact
//! sheet, boxes, report, cache, manifest. A [`Monitor`] receives the progress. The content of a folder is described by
//! its [`RunState`], which is used to resume interrupted runs and to merge shards; the resulting files are identical to
//! those of an uninterrupted run.
//!
//! | path in the folder | written by |
//! |---|---|
//! | `run.json` | [`RunState`] |
//! | `manifest.jsonl` | one line per image, as soon as it is complete |
//! | `NAME/*.png`, `sheet.png` | pictures |
//! | `maps.npz`, `heat.npz`, `tensors.npz` | arrays |
//! | `report.html` | [`Page`] |
//! | `explanations.bin` | the cache of a shard or of an unfinished run |

pub mod audit;
mod base_image;
mod cache;
mod checksum;
mod choose_target;
mod error;
mod explain;
mod folder;
mod image;
mod merge;
mod monitor;
mod outputs;
mod page;
mod pipeline;
mod request;
mod save;
mod sink;
mod sinks;
mod state;
mod style;
mod summary;

pub use audit::{AuditOutcome, audit};
pub use base_image::BaseImage;
pub use choose_target::{ChosenTarget, choose_target};
pub use error::RunError;
pub use explain::{ExplainOutcome, ExplainPlan, explain, verdict};
pub(crate) use folder::check_apart;
pub use folder::{FolderLock, prepare};
pub use image::ExplainedImage;
pub use merge::{Merged, merge};
pub use monitor::{Monitor, NoMonitor, with_source};
pub use outputs::write_explanations;
pub use page::{Page, PageSinks};
pub use pipeline::{Pipeline, TrueMask};
pub use request::{
    AuditRequest, DataRequest, ExplainRequest, ModelRequest, Request, RunOptions, compared, methods, numbers,
    rows, settings, size,
};
pub use save::{OUTPUTS, Save};
pub use sink::{NewImage, Sink};
pub use state::RunState;
pub use style::{PictureFormat, PictureStyle};
pub use summary::Summary;
