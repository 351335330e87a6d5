//! Finding files in folders, in an order that does not depend on the file system.

use std::fs;
use std::path::{Path, PathBuf};

use super::DataError;

/// Folders deeper than this are refused.
const MAX_DEPTH: usize = 32;

/// What a folder holds itself, sorted by name; hidden entries (`.name`) and the folder settings that desktop
/// systems leave behind are ignored.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) folders: Vec<PathBuf>,
    pub(super) files: Vec<PathBuf>,
}

pub(super) fn list(folder: &Path) -> Result<Listing, DataError> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(folder).map_err(DataError::io(folder, "read"))? {
        let path = entry.map_err(DataError::io(folder, "read"))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if name.starts_with('.') || matches!(&*name, "Thumbs.db" | "desktop.ini" | "__MACOSX") {
            continue;
        }
        if path.is_dir() { listing.folders.push(path) } else { listing.files.push(path) }
    }
    listing.folders.sort();
    listing.files.sort();
    Ok(listing)
}

/// All files below `folder`, sorted. Links to folders inside it are not followed: they can form a circle.
pub(super) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    collect(folder, 0, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    if depth > MAX_DEPTH {
        return Err(DataError::malformed(folder, format!("folders are nested more than {MAX_DEPTH} deep")));
    }
    let listing = list(folder)?;
    files.extend(listing.files);
    for folder in listing.folders.iter().filter(|folder| !folder.is_symlink()) {
        collect(folder, depth + 1, files)?;
    }
    Ok(())
}

/// The last part of a path, for people.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
