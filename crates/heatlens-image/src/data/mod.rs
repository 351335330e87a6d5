//! Images and labels: conversion of class folders, image files, and `.npy` and `.npz` arrays to model inputs.
//!
//! The entry points are [`Dataset`], the common interface, and [`open_training`] and [`open_inputs`], which detect the
//! content of a path and open it. `image_files` and `array_dataset` are the two kinds of data set, `preprocess`
//! converts images to model inputs, and `split` creates the validation split. [`NpzWriter`] and [`AtomicFile`] write
//! results.
//!
//! All sizes declared in a file are checked against the file and against the limits below before memory is allocated.
//! Formats are detected by content, never by name. Items are read on demand, so that one broken item does not affect
//! the others.

mod array_dataset;
mod atomic_file;
mod classes;
mod concat;
mod error;
mod image_file;
mod image_files;
mod layout;
mod memory;
mod naming;
mod npy;
mod npz;
mod numbers;
mod open;
mod pillow;
mod preprocess;
mod preset;
mod raster;
mod row_range;
mod shard;
mod sniff;
mod split;
mod split_folders;
mod survey;
mod walk;

use std::fmt::Debug;

pub use array_dataset::ArrayDataset;
pub use atomic_file::{AtomicFile, remove_unfinished, write_atomically, write_file};
#[doc(hidden)] // for the other crates of this repository
pub use atomic_file::{is_unfinished, open_growing};
pub use error::DataError;
#[doc(hidden)] // for the other crates of this repository
pub use error::reason;
pub use image_file::read_image;
pub use image_files::ImageFiles;
pub use layout::Layout;
pub use memory::{MemoryReservation, set_memory_budget};
pub use npy::{ElementType, NpyHeader, npy_bytes, read_npy};
pub use npz::NpzWriter;
pub use numbers::{ArrayNumbers, Scale};
pub use open::{OpenOptions, open_inputs, open_training};
pub use preprocess::{ChannelOrder, Preprocessing, Resize};
pub use preset::Preset;
pub use raster::Raster;
pub(crate) use raster::{bilinear, scale_plane};
pub use row_range::RowRange;
pub use shard::Shard;
pub use sniff::{FileKind, sniff};
pub use split::{Split, SplitIndices};
pub use split_folders::SplitFolders;
pub use survey::changes_to;
#[doc(hidden)] // for the other crates of this repository
pub use survey::changes_to_file;

/// Maximum size in memory (as f32) of an array's selected rows: 8 GiB.
pub const MAX_ARRAY_BYTES: u64 = 8 << 30;

/// Maximum number of pixels of an image file: 67 million, 8192 × 8192.
pub const MAX_IMAGE_PIXELS: u64 = 1 << 26;

/// Maximum height, width or channel count of a model's input.
pub const MAX_SIDE: usize = 1 << 16;

/// Maximum number of classes in the labels of an array.
pub const MAX_CLASSES: usize = 1 << 16;

/// An image as model input and for display.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Model input: `c · h · w` values, channel by channel, row by row.
    pub pixels: Vec<f32>,
    /// Shape of `pixels`: `[c, h, w]`.
    pub shape: [usize; 3],
    /// The image as the model sees it, h×w, in 8 bits: after cropping, resizing and conversion to grey, before
    /// normalisation by mean and standard deviation.
    pub display: image::RgbImage,
}

/// An original image, for drawing, independent of the model's preprocessing.
#[derive(Debug, Clone)]
pub struct Original {
    /// The image in its original size and colours, 8 bits per channel, with its orientation applied and transparent
    /// pixels on black.
    pub picture: image::RgbImage,
    /// True if the image was stored with lossy compression (JPEG).
    pub lossy: bool,
    /// Memory reservation, if the image is large.
    pub room: Option<MemoryReservation>,
}

/// Images of the same shape, some of them labelled. Items are numbered from 0 to `len() − 1` and may be loaded from
/// several threads at once.
pub trait Dataset: Send + Sync + Debug {
    /// Returns the number of items.
    fn len(&self) -> usize;

    /// True if there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a name for the item's outputs: `<stem>_<index>`, or `<folder>_<stem>_<index>` for files in several
    /// folders. It is a safe file name, unique in the data set, and at most 120 bytes long.
    fn name(&self, item: usize) -> String;

    /// Returns the item's source for messages: a path, with the row in brackets for arrays.
    fn source(&self, item: usize) -> String;

    /// Returns the item's row in its array as stored on disk, or its position among the files.
    fn index(&self, item: usize) -> usize;

    /// Returns the item's class, an index into `class_names`, if it is known.
    fn label(&self, item: usize) -> Option<usize>;

    /// Returns the ground-truth mask of the item's object, h×w, if it is known. It is used for evaluation only, never
    /// as model input.
    fn mask(&self, item: usize) -> Option<&[bool]> {
        let _ = item;
        None
    }

    /// Returns the names of the classes; empty if they are unknown.
    fn class_names(&self) -> &[String];

    /// Returns the preprocessing of image files for a model trained on these data.
    fn preprocessing(&self) -> &Preprocessing;

    /// Returns notes on the items that are changed, omitted or guessed, one sentence each.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the shape of every item, `[c, h, w]`.
    fn shape(&self) -> [usize; 3] {
        self.preprocessing().shape()
    }

    /// Returns the height and width of the item as stored, before it is brought to the model's shape. Arrays have that
    /// shape already.
    ///
    /// # Errors
    /// If an image file cannot be read.
    fn original_size(&self, item: usize) -> Result<[usize; 2], DataError> {
        let [_, h, w] = self.shape();
        if item < self.len() { Ok([h, w]) } else { Err(DataError::NoSuchItem { item, len: self.len() }) }
    }

    /// Reads, checks and preprocesses one item.
    fn load(&self, item: usize) -> Result<Sample, DataError>;

    /// Reads the item as stored, at [`Dataset::original_size`]. Arrays have the model's shape already.
    ///
    /// # Errors
    /// If it cannot be read.
    fn original(&self, item: usize) -> Result<Original, DataError> {
        Ok(Original { picture: self.load(item)?.display, lossy: false, room: None })
    }

    /// Returns what [`load`](Self::load) and [`original`](Self::original) do. Data sets of files read the item once for both.
    ///
    /// # Errors
    /// As for both.
    fn load_with_original(&self, item: usize) -> Result<(Sample, Original), DataError> {
        Ok((self.load(item)?, self.original(item)?))
    }
}
