//! Images and labels: from class folders, picture files, `.npy` and `.npz` arrays to model inputs.
//!
//! Start at [`Dataset`], the common face, and at [`open_training`] and [`open_inputs`], which look at what a path
//! holds and open it. `image_files` and `array_dataset` are the two kinds of data set, `preprocess` the way from a
//! picture to a model's input, `split` the validation split. [`NpzWriter`] and [`AtomicFile`] write results.
//!
//! Everything that a file claims is checked against the file and against the limits below before memory is taken.
//! Files are told apart by content, never by name. An item is read when it is asked for, so that one broken item
//! leaves the others usable.

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
pub(crate) use atomic_file::{is_unfinished, open_growing};
pub use error::DataError;
pub(crate) use error::reason;
pub use image_file::read_image;
pub use image_files::ImageFiles;
pub use layout::Layout;
pub use memory::{Room, set_memory_budget};
pub use npy::{ElementType, NpyHeader, npy_bytes, read_npy};
pub use npz::NpzWriter;
pub use numbers::{ArrayNumbers, Scale};
pub use open::{OpenOptions, open_inputs, open_training};
pub use preprocess::{ChannelOrder, Preprocessing, Resize};
pub use preset::Preset;
pub use raster::Raster;
pub use row_range::RowRange;
pub use shard::Shard;
pub use sniff::{FileKind, sniff};
pub use split::{Split, SplitIndices};
pub use split_folders::SplitFolders;
pub use survey::changes_to;
pub(crate) use survey::changes_to_file;

/// Most bytes that the picked rows of an array may take in memory (as f32): 8 GiB.
pub const MAX_ARRAY_BYTES: u64 = 8 << 30;

/// Most pixels of one picture file: 67 million, 8192 × 8192.
pub const MAX_IMAGE_PIXELS: u64 = 1 << 26;

/// Largest height, width or channel count of a model's input.
pub const MAX_SIDE: usize = 1 << 16;

/// Most classes that labels of an array may name.
pub const MAX_CLASSES: usize = 1 << 16;

/// One image, ready for the model and for the eye.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The model's input: `c · h · w` values, channel after channel, row after row.
    pub pixels: Vec<f32>,
    /// `[c, h, w]`.
    pub shape: [usize; 3],
    /// What the model sees, h × w, as an 8-bit picture: after cropping, resizing and grey conversion, before mean
    /// and standard deviation.
    pub display: image::RgbImage,
}

/// An image as a person knows it, for pictures: whatever the model is given of it.
#[derive(Debug, Clone)]
pub struct Original {
    /// In its own size and colours, 8 bits each; turned as its metadata say, transparent pixels on black.
    pub picture: image::RgbImage,
    /// Whether it was stored with losses, as JPEG.
    pub lossy: bool,
    /// The memory that it takes, where that is much.
    pub room: Option<Room>,
}

/// Images of one shape, some of them labelled. Items are numbered from 0 to `len() − 1` and may be loaded from
/// several threads at once.
pub trait Dataset: Send + Sync + Debug {
    /// Number of items.
    fn len(&self) -> usize;

    /// Whether there is no item.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A name for the item's outputs, `<stem>_<index>`, or `<folder>_<stem>_<index>` for files in several folders: safe as
    /// a file name, unique in the data set, at most 120 bytes.
    fn name(&self, item: usize) -> String;

    /// Where the item comes from, for people: a path, with the row in brackets for arrays.
    fn source(&self, item: usize) -> String;

    /// The item's row in its array as stored on disk, or its position among the files.
    fn index(&self, item: usize) -> usize;

    /// The item's class, a position in `class_names`, where it is known.
    fn label(&self, item: usize) -> Option<usize>;

    /// Where the item's object is, h·w, where that is known: for measuring only, no model sees it.
    fn mask(&self, item: usize) -> Option<&[bool]> {
        let _ = item;
        None
    }

    /// Names of the classes; empty where none are known.
    fn class_names(&self) -> &[String];

    /// How picture files become inputs of a model trained on these data.
    fn preprocessing(&self) -> &Preprocessing;

    /// What a person should know about how the items are read: what is changed, left out or guessed, one sentence each.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Shape of every item, `[c, h, w]`.
    fn shape(&self) -> [usize; 3] {
        self.preprocessing().shape()
    }

    /// Rows and columns of the item as it is on disk, before it is brought to the model's shape. Arrays are in that
    /// shape already.
    ///
    /// # Errors
    /// If a picture file cannot be read.
    fn original_size(&self, item: usize) -> Result<[usize; 2], DataError> {
        let [_, h, w] = self.shape();
        if item < self.len() { Ok([h, w]) } else { Err(DataError::NoSuchItem { item, len: self.len() }) }
    }

    /// Reads, checks and prepares one item.
    fn load(&self, item: usize) -> Result<Sample, DataError>;

    /// The item as it is on disk, at [`Dataset::original_size`]. Arrays are in the model's shape already.
    ///
    /// # Errors
    /// If it cannot be read.
    fn original(&self, item: usize) -> Result<Original, DataError> {
        Ok(Original { picture: self.load(item)?.display, lossy: false, room: None })
    }
}
