//! Folders for results: never overwritten by surprise.

use std::fs;
use std::path::Path;

use crate::run::RunError;

/// Makes `out`, or takes it if it is empty; a folder with something in it needs `force`.
///
/// # Errors
/// If it is a file, is not empty, or cannot be made.
pub fn prepare(out: &Path, force: bool) -> Result<(), RunError> {
    let refused = |reason: &str| Err(RunError::OtherRun(format!("{} {reason}", out.display())));
    if out.exists() && !out.is_dir() {
        return refused("is a file, expected a folder for the results");
    }
    fs::create_dir_all(out)
        .map_err(|e| RunError::OtherRun(format!("cannot make the folder {}: {e}", out.display())))?;
    let mut entries = fs::read_dir(out).map_err(RunError::reading(out))?;
    if entries.next().is_some() && !force {
        return refused("is not empty; choose another folder, or add --force to write into it");
    }
    Ok(())
}
