//! File search in folders, in an order independent of the file system.

use std::fs;
use std::path::{Path, PathBuf};

use super::DataError;
use super::sniff::{FileKind, sniff};

/// Maximum depth of nested folders.
const MAX_DEPTH: usize = 32;

/// Extensions of image files, also of unsupported formats: a file with one of them is never skipped, and problems with
/// it are errors.
const PICTURES: [&str; 21] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "tif", "tiff", "bmp", "dib", "webp", "gif", "heic", "heif", "avif",
    "jp2", "ppm", "pgm", "tga", "svg", "dcm", "dng",
];

/// Content of a folder, each list sorted by name.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) folders: Vec<PathBuf>,
    /// Image files, valid or broken.
    pub(super) files: Vec<PathBuf>,
    /// Skipped entries: hidden files, files left by desktop systems, and files that are not images.
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

/// Lists all files below `folder`, sorted, without folders. Links to folders are not followed, since they can form
/// cycles.
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

/// True if a file is an image by its content, or claims to be one by its name.
fn is_meant_as_picture(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    if ending.is_some_and(|ending| PICTURES.contains(&&*ending)) {
        return true;
    }
    // A file that cannot be read is reported when it is loaded.
    matches!(sniff(path), Ok(FileKind::Image(_)) | Err(DataError::Io { .. }))
}

/// Returns the last component of a path, for messages.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns a sentence on the skipped entries, if there are any.
pub(super) fn left_out(others: &[PathBuf]) -> Option<String> {
    const NAMED: usize = 3;
    let named: Vec<String> = others.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    let more = match others.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = if others.len() == 1 {
        "an entry that is not an image is"
    } else {
        "entries that are not images are"
    };
    (!others.is_empty()).then(|| format!("{what} left out: {}{more}", named.join(", ")))
}
