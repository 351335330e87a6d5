//! Bounds that hold before anything is allocated.

use super::KerasError;

/// The largest file, and the largest weights inside one.
pub(super) const MAX_FILE: u64 = 2 << 30;
/// The largest description of a model; that of the largest model of Keras' own has 2 MB.
pub(super) const MAX_CONFIG: u64 = 16 << 20;
/// The most memory for a description that was read.
pub(super) const MAX_DESCRIPTION: u64 = 512 << 20;
/// The attributes of one group, decoded.
pub(super) const MAX_TEXTS: u64 = 64 << 20;
/// The most steps for reading descriptions, names and groups, counted each time that one is read.
pub(super) const MAX_WORK: u64 = 256 << 20;
/// A packed file may take this much, and [`MAX_PACKED_RATIO`] times what it takes packed: weights hardly deflate, and
/// what unfolds a thousandfold is made to.
pub(super) const MAX_UNPACKED: u64 = 64 << 20;
pub(super) const MAX_PACKED_RATIO: u64 = 100;
/// All arrays together, in memory.
pub(super) const MAX_ARRAYS: u64 = 4 << 30;
/// Nothing deflates to less than about a thousandth: an array that claims more than this many
/// times the bytes of its file is not in the file.
pub(super) const MAX_RATIO: u64 = 1100;
/// The most arrays; the largest model of Keras' own has 4000.
pub(super) const MAX_COUNT: usize = 1 << 17;
/// The most elements of a value, for one sample.
pub(super) const MAX_ELEMENTS: usize = 1 << 36;
/// The most layers and calls of layers, those inside nested models counted each time.
pub(super) const MAX_CALLS: usize = 1 << 16;
/// The most axes of an array.
pub(super) const MAX_RANK: usize = 16;

/// Refuses what is larger than `limit`.
pub(super) fn check(what: &str, found: u64, limit: u64) -> Result<(), KerasError> {
    if found > limit {
        return Err(KerasError::TooLarge { what: what.to_owned(), found, limit });
    }
    Ok(())
}
