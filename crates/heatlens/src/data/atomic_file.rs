//! A file that appears whole or not at all: written under a temporary name beside its target, then renamed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How the temporary files are called, around some random letters.
const PREFIX: &str = ".heatlens-";
const SUFFIX: &str = ".part";

/// A file in the making. Until [`AtomicFile::commit`] the target is untouched; a drop without commit
/// removes the temporary file.
///
/// A pipe or a terminal as target is written into, since a file in its place would be of no use to the reader; a link is
/// kept, and what it leads to is replaced.
#[derive(Debug)]
pub struct AtomicFile {
    inner: BufWriter<Inner>,
    target: PathBuf,
}

#[derive(Debug)]
enum Inner {
    /// A regular file in the making.
    Temporary(tempfile::NamedTempFile),
    /// A pipe or a character device.
    Stream(File),
}

impl AtomicFile {
    /// Starts a file that is to become `target`, in `target`'s folder (which must exist).
    ///
    /// # Errors
    /// If the folder does not exist or cannot be written to, or `target` is a folder, a disk or a socket.
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
            // As an ordinary new file: the process' umask decides, not the private mode of a temporary file.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let folder = folder_of(&target);
        // The error would name the temporary file, which the caller has never heard of.
        let temporary = builder.tempfile_in(folder).map_err(|e| match folder.is_dir() {
            true => io::Error::from(e.kind()),
            false => io::Error::new(e.kind(), format!("there is no folder {}", folder.display())),
        })?;
        Ok(Self { inner: BufWriter::new(Inner::Temporary(temporary)), target })
    }

    /// Writes what is still buffered and puts the file in its place, replacing an earlier one.
    pub fn commit(self) -> io::Result<()> {
        match self.inner.into_inner().map_err(io::IntoInnerError::into_error)? {
            Inner::Temporary(file) => file.persist(&self.target).map(drop).map_err(|failure| failure.error),
            Inner::Stream(_) => Ok(()),
        }
    }
}

/// What stands where a file is to appear.
enum Place {
    /// Nothing, or a regular file, at this path: the end of a link, if there is one.
    Regular(PathBuf),
    /// Something to write into.
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

/// Opens a file that grows in its place: empty, or to go on behind what is there.
///
/// # Errors
/// If it cannot be opened, or something else than a regular file is there.
pub(crate) fn open_growing(path: &Path, go_on: bool) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::new(
            ErrorKind::InvalidFilename,
            "there is something else than a regular file",
        ));
    }
    let mut options = File::options();
    options.create(true).write(true).append(go_on).truncate(!go_on);
    options.open(path)
}

/// Removes from `folder` and the folders in it the temporary files of a process that was killed while it wrote. Nobody
/// else may be writing there.
pub fn remove_unfinished(folder: impl AsRef<Path>) -> io::Result<()> {
    let folder = folder.as_ref();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            // The pictures of an image.
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
pub(crate) fn is_unfinished(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
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
