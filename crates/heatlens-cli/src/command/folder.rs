//! Folders for results: never overwritten by surprise.

use std::fs;
use std::path::Path;

use crate::failure::Failure;

/// Makes `out` or takes it if it is empty; a folder with something in it needs `--force`.
pub(crate) fn prepare(out: &Path, force: bool) -> Result<(), Failure> {
    if out.exists() && !out.is_dir() {
        return Err(Failure::new(format!("{} is a file, expected a folder for the results", out.display())));
    }
    fs::create_dir_all(out)
        .map_err(|e| Failure::new(format!("cannot make the folder {}: {e}", out.display())))?;
    let mut entries =
        fs::read_dir(out).map_err(|e| Failure::new(format!("cannot read {}: {e}", out.display())))?;
    if entries.next().is_some() && !force {
        let hint = "choose another folder, or add --force to write into it";
        return Err(Failure::new(format!("{} is not empty; {hint}", out.display())));
    }
    Ok(())
}
