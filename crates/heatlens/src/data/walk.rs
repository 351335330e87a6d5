//! Finding files in folders, in an order that does not depend on the file system.

use std::fs;
use std::path::{Path, PathBuf};

use super::DataError;
use super::sniff::{FileKind, sniff};

/// Folders deeper than this are refused.
const MAX_DEPTH: usize = 32;

/// Endings of files that are meant to be pictures: what is wrong with one of them is an error, never passed over.
const PICTURES: [&str; 21] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "tif", "tiff", "bmp", "dib", "webp", "gif", "heic", "heif", "avif",
    "jp2", "ppm", "pgm", "tga", "svg", "dcm", "dng",
];

/// What a folder holds, each list sorted by name.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) folders: Vec<PathBuf>,
    /// Pictures, whole or broken.
    pub(super) files: Vec<PathBuf>,
    /// What is passed over: hidden entries, what desktop systems leave behind, and files that are no pictures.
    pub(super) others: Vec<PathBuf>,
}

pub(super) fn list(folder: &Path) -> Result<Listing, DataError> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(folder).map_err(DataError::io(folder, "read"))? {
        let path = entry.map_err(DataError::io(folder, "read"))?.path();
        let name = file_name(&path);
        let hidden = name.starts_with('.') || matches!(&*name, "Thumbs.db" | "desktop.ini" | "__MACOSX");
        match (hidden, path.is_dir()) {
            (false, true) => listing.folders.push(path),
            (false, false) if is_meant_as_picture(&path) => listing.files.push(path),
            _ => listing.others.push(path),
        }
    }
    listing.folders.sort();
    listing.files.sort();
    listing.others.sort();
    Ok(listing)
}

/// All that lies below `folder`, sorted; no folders. Links to folders inside it are not followed: they can form a circle.
pub(super) fn below(folder: &Path) -> Result<Listing, DataError> {
    let mut all = Listing::default();
    collect(folder, 0, &mut all)?;
    all.files.sort();
    all.others.sort();
    Ok(all)
}

fn collect(folder: &Path, depth: usize, all: &mut Listing) -> Result<(), DataError> {
    if depth > MAX_DEPTH {
        return Err(DataError::malformed(folder, format!("folders are nested more than {MAX_DEPTH} deep")));
    }
    let listing = list(folder)?;
    all.files.extend(listing.files);
    all.others.extend(listing.others);
    for folder in listing.folders.iter().filter(|folder| !folder.is_symlink()) {
        collect(folder, depth + 1, all)?;
    }
    Ok(())
}

/// Whether a file is a picture by its content, or claims to be one by its name.
fn is_meant_as_picture(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    if ending.is_some_and(|ending| PICTURES.contains(&&*ending)) {
        return true;
    }
    // What cannot be read is told when it is loaded.
    matches!(sniff(path), Ok(FileKind::Image(_)) | Err(DataError::Io { .. }))
}

/// The last part of a path, for people.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The sentence about what was passed over, if anything was.
pub(super) fn left_out(others: &[PathBuf]) -> Option<String> {
    const NAMED: usize = 3;
    let named: Vec<String> = others.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    let more = match others.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what =
        if others.len() == 1 { "an entry that is no image is" } else { "entries that are no images are" };
    (!others.is_empty()).then(|| format!("{what} left out: {}{more}", named.join(", ")))
}
