//! NumPy's `.npz` format: a zip archive with one `.npy` file per array. [`NpzWriter`] takes the arrays row by row and
//! does not hold them in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::atomic_file::{AtomicFile, spool_beside};
use super::npy::{CheckedHeader, header_bytes, read_header};
use super::{DataError, MAX_ARRAY_BYTES};

/// Opens the array `name` of the archive at `path` and passes its header and data to `read`.
///
/// The declared size of the array limits the size in its header and the number of bytes inflated. The array is always
/// read to its end, even if `read` stops earlier, in order to verify its checksum.
pub(super) fn with_entry<T>(
    path: &Path,
    name: &str,
    read: impl FnOnce(&CheckedHeader, &mut dyn Read) -> Result<T, DataError>,
) -> Result<T, DataError> {
    let mut archive = open_archive(path)?;
    let entry = archive.by_name(&format!("{name}.npy"));
    let entry = entry.map_err(|error| DataError::malformed(path, format!("array {name}: {error}")))?;
    let size = entry.size();
    // A Fortran-order array is read completely, a C-order one up to the last selected row. Elements have at most 64
    // bits.
    if size > MAX_ARRAY_BYTES.saturating_mul(2) {
        let what = format!("array {name} with {size} bytes when unpacked");
        let limit = format!(
            "{} bytes; save it as {name}.npy and pick rows with --rows",
            MAX_ARRAY_BYTES.saturating_mul(2)
        );
        return Err(DataError::TooLarge { path: path.to_path_buf(), what, limit });
    }
    // Read one byte more than declared, to reach the end of the entry, where the checksum is verified.
    let mut reader = BufReader::new(entry.take(size.saturating_add(1)));
    let header = read_header(&mut reader, size, &path.join(name))?;
    let result = read(&header, &mut reader)?;
    let damaged = |error: io::Error| DataError::malformed(path, format!("array {name} is damaged: {error}"));
    io::copy(&mut reader, &mut io::sink()).map_err(damaged)?;
    if reader.get_ref().limit() == 0 {
        return Err(DataError::malformed(
            path,
            format!("array {name} is damaged: it is longer than the archive says"),
        ));
    }
    Ok(result)
}

/// Returns the sorted names of the arrays in the archive at `path`.
pub(super) fn entry_names(path: &Path) -> Result<Vec<String>, DataError> {
    let archive = open_archive(path)?;
    let mut names: Vec<String> =
        archive.file_names().filter_map(|name| Some(name.ok()?.strip_suffix(".npy")?.to_owned())).collect();
    names.sort();
    Ok(names)
}

fn open_archive(path: &Path) -> Result<ZipArchive<BufReader<File>>, DataError> {
    let file = heatlens_graph::open_regular(path).map_err(DataError::io(path, "open"))?;
    ZipArchive::new(BufReader::new(file))
        .map_err(|error| DataError::malformed(path, format!("not a readable .npz archive: {error}")))
}

/// Writer of an `.npz` archive whose arrays grow row by row, in any order.
///
/// Each array is kept in an unnamed file in the target's folder until [`NpzWriter::finish`] assembles them, sorted by
/// name, uncompressed and without a date: the same rows give the same bytes. A writer that is dropped leaves no files.
#[derive(Debug)]
pub struct NpzWriter {
    path: PathBuf,
    arrays: BTreeMap<String, Spool>,
}

#[derive(Debug)]
struct Spool {
    descr: &'static str,
    row_shape: Vec<usize>,
    rows: usize,
    file: BufWriter<File>,
}

impl NpzWriter {
    /// Starts an archive at `path`, whose folder must exist and be writable.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        // Check this now rather than after hours of computing.
        drop(AtomicFile::create(path).map_err(DataError::io(path, "write"))?);
        Ok(Self { path: path.to_path_buf(), arrays: BTreeMap::new() })
    }

    /// Appends one row of shape `row_shape` (empty for a number) to the f32 array `name`, which is created by its first
    /// row.
    pub fn push(&mut self, name: &str, row_shape: &[usize], row: &[f32]) -> Result<(), DataError> {
        self.push_bytes(name, "<f4", row_shape, row.len(), row.iter().map(|value| value.to_le_bytes()))
    }

    /// Appends one row to the 16-bit float array `name`, rounding each value to nearest; see [`NpzWriter::push`].
    pub fn push_half(&mut self, name: &str, row_shape: &[usize], row: &[f32]) -> Result<(), DataError> {
        let elements = row.iter().map(|value| half::f16::from_f32(*value).to_le_bytes());
        self.push_bytes(name, "<f2", row_shape, row.len(), elements)
    }

    /// Appends one row to the 64-bit integer array `name`; see [`NpzWriter::push`].
    pub fn push_integers(&mut self, name: &str, row_shape: &[usize], row: &[i64]) -> Result<(), DataError> {
        self.push_bytes(name, "<i8", row_shape, row.len(), row.iter().map(|value| value.to_le_bytes()))
    }

    /// Assembles the archive and moves it into place.
    pub fn finish(self) -> Result<(), DataError> {
        let path = self.path.clone();
        self.assemble().map_err(DataError::io(&path, "write"))
    }

    fn push_bytes<const BYTES: usize>(
        &mut self,
        name: &str,
        descr: &'static str,
        row_shape: &[usize],
        count: usize,
        elements: impl Iterator<Item = [u8; BYTES]>,
    ) -> Result<(), DataError> {
        let spool = match self.arrays.entry(name.to_owned()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let file = spool_beside(&self.path).map_err(DataError::io(&self.path, "write"))?;
                let file = BufWriter::new(file);
                entry.insert(Spool { descr, row_shape: row_shape.to_vec(), rows: 0, file })
            }
        };
        let expected: usize = spool.row_shape.iter().product();
        if spool.row_shape != row_shape || spool.descr != descr || count != expected {
            let reason = format!(
                "array {name}: row {} has shape {row_shape:?} with {count} elements of {descr}, expected shape {:?} of {}",
                spool.rows, spool.row_shape, spool.descr
            );
            return Err(DataError::malformed(&self.path, reason));
        }
        for element in elements {
            spool.file.write_all(&element).map_err(DataError::io(&self.path, "write"))?;
        }
        spool.rows += 1;
        Ok(())
    }

    fn assemble(self) -> io::Result<()> {
        let mut archive = ZipWriter::new(AtomicFile::create(&self.path)?);
        for (name, spool) in self.arrays {
            let mut file = spool.file.into_inner().map_err(io::IntoInnerError::into_error)?;
            let size = file.stream_position()?;
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::default())
                .unix_permissions(0o644)
                .large_file(size >= u64::from(u32::MAX) - 4096);
            archive.start_file(format!("{name}.npy"), options)?;
            let shape = [&[spool.rows], spool.row_shape.as_slice()].concat();
            archive.write_all(&header_bytes(spool.descr, &shape))?;
            file.rewind()?;
            io::copy(&mut file, &mut archive)?;
        }
        archive.finish()?.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) {
        let mut writer = NpzWriter::create(path).unwrap();
        for row in 0..5_u8 {
            let value = f32::from(row);
            writer.push("grad_cam@conv#1", &[2, 3], &[value; 6]).unwrap();
            writer.push_integers("index", &[], &[i64::from(row) + 2000]).unwrap();
        }
        writer.finish().unwrap();
    }

    #[test]
    fn rows_read_back_and_bytes_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.npz"), folder.path().join("b.npz"));
        write(&a);
        write(&b);
        assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(entry_names(&a).unwrap(), ["grad_cam@conv#1", "index"]);
        with_entry(&a, "grad_cam@conv#1", |header, reader| {
            assert_eq!(header.header.shape, [5, 2, 3]);
            assert_eq!(header.read_rows(reader, 3..4, &a)?, [3.0; 6]);
            Ok(())
        })
        .unwrap();
        with_entry(&a, "index", |header, reader| {
            assert_eq!(header.read_rows(reader, 0..5, &a)?, [2000.0, 2001.0, 2002.0, 2003.0, 2004.0]);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_row_of_another_shape_is_refused_and_nothing_remains() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut writer = NpzWriter::create(&path).unwrap();
        writer.push("a", &[2], &[0.0; 2]).unwrap();
        assert!(writer.push("a", &[3], &[0.0; 3]).is_err());
        assert!(writer.push("a", &[2], &[0.0; 3]).is_err());
        assert!(writer.push_integers("a", &[2], &[0; 2]).is_err());
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(NpzWriter::create(Path::new("/no/such/folder/a.npz")).is_err());
    }

    #[test]
    fn a_changed_byte_is_noticed_even_after_the_rows_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        write(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.windows(4).rposition(|four| four == 4.0_f32.to_le_bytes()).unwrap();
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let result =
            with_entry(&path, "grad_cam@conv#1", |header, reader| header.read_rows(reader, 0..1, &path));
        assert!(result.unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn a_header_larger_than_its_entry_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.npz");
        let mut archive = ZipWriter::new(File::create(&path).unwrap());
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        archive.start_file("X.npy", options).unwrap();
        archive.write_all(&header_bytes("<f4", &[1 << 40])).unwrap();
        archive.write_all(&[0; 4096]).unwrap();
        archive.finish().unwrap();
        let error = with_entry(&path, "X", |_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("cut short"), "{error}");
        assert!(with_entry(&path, "Y", |_, _| Ok(())).is_err());
    }
}
