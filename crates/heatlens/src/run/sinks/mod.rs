//! One file for each thing that a run writes of every image.
//!
//! Others are where their results belong: boxes and masks in [`localise`](crate::localise), the images of the page in
//! [`report`](crate::report), the maps of the whole data set in [`dataset`](crate::dataset), the cache in
//! [`cache`](super::cache).

pub(super) mod arrays;
pub(super) mod contact_sheet;
pub(super) mod manifest;
pub(super) mod pictures;
