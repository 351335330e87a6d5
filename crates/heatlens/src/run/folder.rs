//! Folders for results: never overwritten by surprise, written by one run at a time, apart from what is read.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::data::{is_unfinished, remove_unfinished};
use crate::run::RunError;

/// The file that a run holds locked in its folder.
const LOCK: &str = ".heatlens-lock";

/// A folder that one run writes into, and no other while this lives.
#[derive(Debug)]
#[must_use = "the folder is free for other runs as soon as this is dropped"]
pub struct FolderLock {
    path: PathBuf,
    /// Locked; the system frees it even if the process is killed.
    _file: File,
}

impl FolderLock {
    /// Takes a folder that exists.
    ///
    /// # Errors
    /// If another run has it, or nothing can be written into it.
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
            // A file system without locks takes none; then only what people do keeps runs apart.
            if is_still_there(&file, &path) {
                let told = file.set_len(0).and_then(|()| file.rewind());
                told.and_then(|()| write!(file, "{}", std::process::id()))
                    .map_err(RunError::writing(&path))?;
                return Ok(Self { path, _file: file });
            }
            // The run before removed it in between: once more.
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // What remains would be taken over by the next run.
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

/// Makes `out`, or takes it if it is empty; a folder with something in it needs `force`. What a run that was killed had
/// only begun to write is nothing, and is removed.
///
/// # Errors
/// If it is a file, is not empty, cannot be made, or another run is writing into it.
pub fn prepare(out: &Path, force: bool) -> Result<FolderLock, RunError> {
    let refused = |reason: &str| Err(RunError::OtherRun(format!("{} {reason}", out.display())));
    if out.exists() && !out.is_dir() {
        return refused("is a file, expected a folder for the results");
    }
    fs::create_dir_all(out)
        .map_err(|e| RunError::OtherRun(format!("cannot make the folder {}: {e}", out.display())))?;
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

/// Makes sure that a run does not write among what it reads, and does not read what it writes: neither `out` nor any of
/// the `inputs` lies in the other, wherever links lead.
///
/// # Errors
/// If one does.
pub(crate) fn check_apart<'p>(
    out: &Path,
    inputs: impl IntoIterator<Item = &'p PathBuf>,
) -> Result<(), RunError> {
    let place = real(out);
    for input in inputs {
        let read = real(input);
        let advice = "choose a folder beside it";
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

/// The path without links; of what does not exist yet, the part that does and the rest as it is.
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
        // What a killed run leaves before its first file is nothing.
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
