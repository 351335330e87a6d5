//! Atomic files: written under a temporary name in the target's folder, then renamed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Prefix and suffix of temporary file names, around some random letters.
const PREFIX: &str = ".heatlens-";
const SUFFIX: &str = ".part";

/// File that replaces its target atomically. The target is unchanged until [`AtomicFile::commit`]; dropping the file
/// without a commit removes the temporary file.
///
/// If the target is a pipe or a terminal, it is written to directly, since replacing it would be of no use to the
/// reader. A symbolic link is kept, and the file it points to is replaced.
#[derive(Debug)]
pub struct AtomicFile {
    inner: BufWriter<Inner>,
    target: PathBuf,
}

#[derive(Debug)]
enum Inner {
    /// A regular file, being written.
    Temporary(tempfile::NamedTempFile),
    /// A pipe or a character device.
    Stream(File),
}

impl AtomicFile {
    /// Creates a temporary file for `target` in `target`'s folder, which must exist.
    ///
    /// # Errors
    /// If the folder does not exist or is not writable, or if `target` is a folder, a disk or a socket.
    pub fn create(target: impl AsRef<Path>) -> io::Result<Self> {
        let target = match Place::of(target.as_ref())? {
            Place::Regular(path) => path,
            Place::Stream(file) => {
                let target = target.as_ref().to_path_buf();
                return Ok(Self { inner: BufWriter::new(Inner::Stream(file)), target });
            }
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Use the permissions of an ordinary new file, set by the umask, instead of the private mode of a temporary
            // file.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let folder = folder_of(&target);
        // The original error would name the temporary file, which means nothing to the caller.
        let temporary = builder.tempfile_in(folder).map_err(|e| match folder.is_dir() {
            true => io::Error::from(e.kind()),
            false => io::Error::new(e.kind(), format!("there is no folder {}", folder.display())),
        })?;
        Ok(Self { inner: BufWriter::new(Inner::Temporary(temporary)), target })
    }

    /// Flushes the file and moves it into place, replacing an existing one.
    pub fn commit(self) -> io::Result<()> {
        match self.inner.into_inner().map_err(io::IntoInnerError::into_error)? {
            Inner::Temporary(file) => file.persist(&self.target).map(drop).map_err(|failure| failure.error),
            Inner::Stream(_) => Ok(()),
        }
    }
}

/// Existing object at the path of the target.
enum Place {
    /// Nothing or a regular file at this path, with symbolic links resolved.
    Regular(PathBuf),
    /// A pipe or device, opened for writing.
    Stream(File),
}

impl Place {
    fn of(target: &Path) -> io::Result<Self> {
        let refuse = |what: &str| {
            let reason = format!("there is {what}, expected the name of a file");
            Err(io::Error::new(ErrorKind::InvalidFilename, reason))
        };
        let Ok(itself) = fs::symlink_metadata(target) else { return Ok(Self::Regular(target.to_path_buf())) };
        let Ok(end) = fs::metadata(target) else { return refuse("a link that leads nowhere") };
        let kind = end.file_type();
        if kind.is_dir() {
            return refuse("a folder");
        }
        if kind.is_file() {
            let linked = itself.file_type().is_symlink();
            return Ok(Self::Regular(if linked { fs::canonicalize(target)? } else { target.to_path_buf() }));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileTypeExt;
            if kind.is_fifo() || kind.is_char_device() {
                return File::options().write(true).open(target).map(Self::Stream);
            }
        }
        refuse("a disk or a socket")
    }
}

impl Write for Inner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Temporary(file) => file.write(bytes),
            Self::Stream(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Temporary(file) => file.flush(),
            Self::Stream(file) => file.flush(),
        }
    }
}

impl Seek for Inner {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Temporary(file) => file.seek(position),
            Self::Stream(file) => file.seek(position),
        }
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

/// Writes `bytes` to `target` atomically.
pub fn write_atomically(target: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
    let target = target.as_ref();
    let mut file = AtomicFile::create(target)?;
    file.write_all(bytes)?;
    file.commit()
}

/// Writes `bytes` to `target` atomically. Errors start with "cannot write" and contain the file name.
pub fn write_file(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot write {}: {e}", target.display()));
    write_atomically(target, bytes).map_err(named)
}

/// Opens a file that is written in place, either empty or to append to its content.
///
/// # Errors
/// If it cannot be opened, or if the path is not a regular file.
pub fn open_growing(path: &Path, go_on: bool) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::new(
            ErrorKind::InvalidFilename,
            "there is something other than a regular file",
        ));
    }
    let mut options = File::options();
    options.create(true).write(true).append(go_on).truncate(!go_on);
    options.open(path)
}

/// Removes the temporary files of a killed process from `folder` and its sub-folders. No other process may be writing
/// there.
pub fn remove_unfinished(folder: impl AsRef<Path>) -> io::Result<()> {
    let folder = folder.as_ref();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            // A folder with the pictures of an image.
            for inside in fs::read_dir(entry.path())? {
                remove_if_unfinished(&inside?)?;
            }
        } else {
            remove_if_unfinished(&entry)?;
        }
    }
    Ok(())
}

fn remove_if_unfinished(entry: &fs::DirEntry) -> io::Result<()> {
    if is_unfinished(&entry.file_name()) && entry.file_type()?.is_file() {
        return fs::remove_file(entry.path());
    }
    Ok(())
}

/// Returns true for the name of a temporary file of this program.
pub fn is_unfinished(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

/// Returns an unnamed temporary file in `target`'s folder, which is removed even if the process is killed.
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
