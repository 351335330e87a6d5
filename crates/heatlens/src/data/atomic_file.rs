//! A file that appears whole or not at all: written under a temporary name beside its target, then renamed.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How the temporary files are called, around some random letters.
const PREFIX: &str = ".heatlens-";
const SUFFIX: &str = ".part";

/// A file in the making. Until [`AtomicFile::commit`] the target is untouched; a drop without commit
/// removes the temporary file.
#[derive(Debug)]
pub struct AtomicFile {
    inner: BufWriter<tempfile::NamedTempFile>,
    target: PathBuf,
}

impl AtomicFile {
    /// Starts a file that is to become `target`, in `target`'s folder (which must exist).
    pub fn create(target: impl AsRef<Path>) -> io::Result<Self> {
        let target = target.as_ref();
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As an ordinary new file: the process' umask decides, not the private mode of a temporary file.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let folder = folder_of(target);
        // The error would name the temporary file, which the caller has never heard of.
        let temporary = builder.tempfile_in(folder).map_err(|e| match folder.is_dir() {
            true => io::Error::from(e.kind()),
            false => io::Error::new(e.kind(), format!("there is no folder {}", folder.display())),
        })?;
        let inner = BufWriter::new(temporary);
        Ok(Self { inner, target: target.to_path_buf() })
    }

    /// Writes what is still buffered and puts the file in its place, replacing an earlier one.
    pub fn commit(self) -> io::Result<()> {
        let file = self.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.persist(&self.target).map_err(|failure| failure.error)?;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}

/// Writes `bytes` to `target` whole or not at all.
pub fn write_atomically(target: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
    let target = target.as_ref();
    let mut file = AtomicFile::create(target)?;
    file.write_all(bytes)?;
    file.commit()
}

/// Writes `bytes` to `target` whole or not at all; an error says "cannot write" and names the file.
pub fn write_file(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot write {}: {e}", target.display()));
    write_atomically(target, bytes).map_err(named)
}

/// Removes from `folder` the temporary files of a process that was killed while it wrote. Nobody else may be
/// writing there.
pub fn remove_unfinished(folder: impl AsRef<Path>) -> io::Result<()> {
    let folder = folder.as_ref();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// An unnamed file in `target`'s folder for data on its way there: it vanishes even if the process is killed.
pub(super) fn spool_beside(target: &Path) -> io::Result<File> {
    tempfile::tempfile_in(folder_of(target))
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_remains_of_a_file_that_is_not_committed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.bin");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(&[1; 100_000]).unwrap();
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn commit_replaces_the_earlier_file_with_ordinary_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.bin");
        std::fs::write(&target, "old").unwrap();
        let ordinary = std::fs::metadata(&target).unwrap().permissions();
        write_atomically(&target, b"new").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&target).unwrap().permissions(), ordinary);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_error_of_a_missing_folder_does_not_name_the_temporary_file() {
        let error = AtomicFile::create(Path::new("/no/such/folder/a.bin")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!error.to_string().contains(PREFIX), "{error}");
    }
}
