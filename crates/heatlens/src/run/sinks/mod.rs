//! Sinks for the files of a run, one module per kind of file.
//!
//! Other sinks are in the modules of their results: boxes and masks in [`localise`](crate::localise), the images of the
//! page in [`report`](crate::report), the maps of the whole data set in [`dataset`](crate::dataset), the cache in
//! [`cache`](super::cache).

pub(super) mod arrays;
pub(super) mod contact_sheet;
pub(super) mod manifest;
pub(super) mod pictures;
