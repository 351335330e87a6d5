//! Limits that are checked before anything is allocated.

use super::KerasError;

/// Maximum size of a file, and of the weights in an archive.
pub(super) const MAX_FILE: u64 = 2 << 30;
/// Maximum size of the description of a model; that of the largest model in Keras has 2 MB.
pub(super) const MAX_CONFIG: u64 = 16 << 20;
/// Maximum memory for a parsed description.
pub(super) const MAX_DESCRIPTION: u64 = 512 << 20;
/// Maximum decoded size of the attributes of one group.
pub(super) const MAX_TEXTS: u64 = 64 << 20;
/// Maximum number of steps for reading descriptions, names and groups, including repeated reads.
pub(super) const MAX_WORK: u64 = 256 << 20;
/// A packed file may take this many bytes plus [`MAX_PACKED_RATIO`] times its packed size: weights hardly compress, and
/// a ratio of a thousand occurs only in crafted files.
pub(super) const MAX_UNPACKED: u64 = 64 << 20;
pub(super) const MAX_PACKED_RATIO: u64 = 100;
/// Maximum memory for all arrays together.
pub(super) const MAX_ARRAYS: u64 = 4 << 30;
/// Maximum size of an array relative to its file: deflate compresses by a factor of about a thousand at most, so a
/// larger array cannot be in the file.
pub(super) const MAX_RATIO: u64 = 1100;
/// Maximum number of arrays; the largest model in Keras has 4000.
pub(super) const MAX_COUNT: usize = 1 << 17;
/// Maximum number of elements of a value, per sample.
pub(super) const MAX_ELEMENTS: usize = 1 << 36;
/// Maximum number of layers and layer calls; those in nested models count each time.
pub(super) const MAX_CALLS: usize = 1 << 16;
/// Maximum number of axes of an array.
pub(super) const MAX_RANK: usize = 16;

/// Returns an error if `found` exceeds `limit`.
pub(super) fn check(what: &str, found: u64, limit: u64) -> Result<(), KerasError> {
    if found > limit {
        return Err(KerasError::TooLarge { what: what.to_owned(), found, limit });
    }
    Ok(())
}
