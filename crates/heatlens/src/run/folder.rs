//! Output folders: protected against accidental overwriting, locked by one run at a time, and separate from the inputs.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::data::{is_unfinished, remove_unfinished};
use crate::run::RunError;

/// Name of the lock file of a run.
const LOCK: &str = ".heatlens-lock";

/// Lock on an output folder, held by a single run at a time.
#[derive(Debug)]
#[must_use = "the folder is free for other runs as soon as this is dropped"]
pub struct FolderLock {
    path: PathBuf,
    /// Locked file; the system releases the lock even if the process is killed.
    _file: File,
}

impl FolderLock {
    /// Locks an existing folder.
    ///
    /// # Errors
    /// If another run holds the lock, or the folder is not writable.
    pub fn take(out: &Path) -> Result<Self, RunError> {
        let path = out.join(LOCK);
        loop {
            let mut options = File::options();
            let mut file = options
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .map_err(RunError::writing(&path))?;
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                return Err(busy(out, &mut file));
            }
            // On a file system without locks, simultaneous runs cannot be detected.
            if is_still_there(&file, &path) {
                let told = file.set_len(0).and_then(|()| file.rewind());
                told.and_then(|()| write!(file, "{}", std::process::id()))
                    .map_err(RunError::writing(&path))?;
                return Ok(Self { path, _file: file });
            }
            // The previous run has removed the file in the meantime: try again.
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // A file left behind would be reused by the next run.
        let _ = fs::remove_file(&self.path);
    }
}

fn busy(out: &Path, file: &mut File) -> RunError {
    let mut number = String::new();
    let known = file.read_to_string(&mut number).is_ok() && number.parse::<u32>().is_ok();
    let who = if known { format!("process {number}") } else { "another process".to_owned() };
    RunError::OtherRun(format!(
        "{who} is writing into {}: wait for it, or choose another folder",
        out.display()
    ))
}

#[cfg(unix)]
fn is_still_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let number = |meta: std::io::Result<fs::Metadata>| meta.ok().map(|meta| (meta.dev(), meta.ino()));
    number(file.metadata()) == number(fs::metadata(path))
}

#[cfg(not(unix))]
fn is_still_there(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Creates `out`, or uses it if it is empty; a folder that is not empty requires `force`. Unfinished files of a killed
/// run are removed and do not count.
///
/// # Errors
/// If `out` is a file, is not empty, cannot be created, or another run is writing into it.
pub fn prepare(out: &Path, force: bool) -> Result<FolderLock, RunError> {
    let refused = |reason: &str| Err(RunError::OtherRun(format!("{} {reason}", out.display())));
    if out.exists() && !out.is_dir() {
        return refused("is a file, expected a folder for the results");
    }
    fs::create_dir_all(out)
        .map_err(|e| RunError::OtherRun(format!("cannot create the folder {}: {e}", out.display())))?;
    let lock = FolderLock::take(out)?;
    for entry in fs::read_dir(out).map_err(RunError::reading(out))? {
        let entry = entry.map_err(RunError::reading(out))?;
        if !(force || is_unfinished(&entry.file_name()) || entry.file_name() == LOCK) {
            return refused("is not empty; choose another folder, or add --force to write into it");
        }
    }
    remove_unfinished(out).map_err(RunError::writing(out))?;
    Ok(lock)
}

/// Checks that a run neither writes among its inputs nor reads its own output: neither `out` nor any of the `inputs`
/// may lie within the other, after resolving links.
///
/// # Errors
/// If one of them does.
pub(crate) fn check_apart<'p>(
    out: &Path,
    inputs: impl IntoIterator<Item = &'p PathBuf>,
) -> Result<(), RunError> {
    let place = real(out);
    for input in inputs {
        let read = real(input);
        let advice = "choose a folder outside of it";
        if place.starts_with(&read) {
            let what = if place == read { "is" } else { "lies in" };
            return Err(RunError::OtherRun(format!(
                "the folder for the results, {}, {what} the input {}, so its pictures would become inputs: {advice}",
                out.display(),
                input.display()
            )));
        }
        if read.starts_with(&place) {
            return Err(RunError::OtherRun(format!(
                "the input {} lies in the folder for the results, {}: {advice}",
                input.display(),
                out.display()
            )));
        }
    }
    Ok(())
}

/// Returns the path with links resolved; of a path that does not exist yet, only the existing part is resolved.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for known in absolute.ancestors() {
        if let Ok(found) = fs::canonicalize(known) {
            return found.join(absolute.strip_prefix(known).unwrap_or(Path::new("")));
        }
    }
    absolute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_one_run_and_is_left_clean() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a/b");
        let lock = prepare(&out, false).unwrap();
        let second = prepare(&out, true).unwrap_err().to_string();
        assert!(second.contains(&format!("process {} is writing into", std::process::id())), "{second}");
        drop(lock);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        // Unfinished files of a killed run do not count.
        fs::write(out.join(".heatlens-abc.part"), "x").unwrap();
        fs::write(out.join(LOCK), "1").unwrap();
        drop(prepare(&out, false).unwrap());
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        fs::write(out.join("photo.png"), "x").unwrap();
        assert!(prepare(&out, false).unwrap_err().to_string().contains("is not empty"));
        // One that is replaced had folders for its images.
        fs::create_dir(out.join("image")).unwrap();
        fs::write(out.join("image/.heatlens-abc.part"), "x").unwrap();
        drop(prepare(&out, true).unwrap());
        assert_eq!(fs::read_dir(out.join("image")).unwrap().count(), 0);
    }

    #[test]
    fn results_and_inputs_lie_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("images/cat")).unwrap();
        let said = |out: &str, input: &str| {
            check_apart(&at(out), [&at(input)]).map_or_else(|e| e.to_string(), |()| String::new())
        };
        assert_eq!(said("out", "images"), "");
        assert_eq!(said("images2", "images"), "");
        assert!(said("images/out", "images").contains("lies in the input"));
        assert!(said("images", "images/cat").contains("lies in the folder for the results"));
        assert!(said("images", "images").contains("is the input"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("images"), at("link")).unwrap();
            assert!(said("link/new", "images").contains("lies in the input"));
        }
    }
}
