//! HDF5 file of a model: groups, attributes, and arrays within a budget.
//!
//! The `hdf5-reader` crate decodes the file, but does not limit the memory a file may use; this module does. Chunked
//! arrays are assembled here, chunk by chunk, so that the crate's unsafe copying never runs on untrusted files.

mod texts;

use std::cell::Cell;
use std::sync::Arc;

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::group::Group;
use hdf5_reader::storage::{BytesStorage, DynStorage};
use hdf5_reader::{ByteOrder, Dataset, Datatype, Hdf5File, OpenOptions};

use super::KerasError;
use super::limits::{MAX_ARRAYS, MAX_COUNT, MAX_RANK, MAX_RATIO, MAX_WORK, check};

/// An array of the file.
#[derive(Clone, Debug)]
pub(super) struct Array {
    /// Sizes, outermost first.
    pub(super) shape: Vec<usize>,
    /// Elements, row-major.
    pub(super) values: Arc<[f32]>,
}

/// An open HDF5 file.
pub(super) struct Store {
    file: Hdf5File,
    /// Bytes of the file.
    storage: DynStorage,
    /// Length of the file in bytes.
    length: u64,
    /// Bytes of arrays read so far.
    bytes: u64,
    /// Number of arrays read so far.
    count: usize,
    /// Steps counted so far, see [`Store::spend`].
    work: Cell<u64>,
}

fn damaged(at: &str, error: &Hdf5Error) -> KerasError {
    KerasError::Damaged(format!("{at}: {error}"))
}

impl Store {
    /// Opens a file in memory.
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, KerasError> {
        const MIB: usize = 1 << 20;
        let length = bytes.len() as u64;
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(0)
            .with_max_chunk_bytes(1024 * MIB)
            .with_max_read_bytes(usize::try_from(MAX_ARRAYS).unwrap_or(usize::MAX))
            .with_max_object_header_bytes(4 * MIB);
        let storage: DynStorage = Arc::new(BytesStorage::new(bytes));
        let file = Hdf5File::from_storage_with_options(Arc::clone(&storage), options);
        let file = file.map_err(|e| damaged("HDF5", &e))?;
        let announced = file.superblock().eof_address;
        if announced > length {
            let what = format!("{announced} bytes of HDF5 are announced, {length} are there (cut off?)");
            return Err(KerasError::Damaged(what));
        }
        Ok(Self { file, storage, length, bytes: 0, count: 0, work: Cell::new(0) })
    }

    /// Counts steps, about one per byte, spent on reading. The description, names and groups of a model that is called
    /// a thousand times are read a thousand times; this limits the total.
    pub(super) fn spend(&self, steps: u64) -> Result<(), KerasError> {
        self.work.set(self.work.get().saturating_add(steps));
        check("reading layers and names as often as they are used", self.work.get(), MAX_WORK)
    }

    /// Returns a group, or `None` if it does not exist. Names may contain `/`, which HDF5 interprets as nested groups.
    fn group(&self, path: &str) -> Result<Option<Group>, KerasError> {
        let at = |e: &Hdf5Error| damaged(path, e);
        let mut group = self.file.root_group().map_err(|e| at(&e))?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            group = match group.group(part) {
                Ok(next) => next,
                Err(Hdf5Error::GroupNotFound(_)) => return Ok(None),
                Err(error) => return Err(at(&error)),
            };
        }
        Ok(Some(group))
    }

    /// Returns the sorted names of the groups in a group; empty if the group does not exist.
    pub(super) fn groups(&self, path: &str) -> Result<Vec<String>, KerasError> {
        self.members(path).map(|(groups, _)| groups)
    }

    /// Returns the sorted names of the arrays in a group; empty if the group does not exist.
    pub(super) fn arrays(&self, path: &str) -> Result<Vec<String>, KerasError> {
        self.members(path).map(|(_, arrays)| arrays)
    }

    fn members(&self, path: &str) -> Result<(Vec<String>, Vec<String>), KerasError> {
        let Some(group) = self.group(path)? else { return Ok((Vec::new(), Vec::new())) };
        let (mut groups, mut arrays) = group.member_names().map_err(|e| damaged(path, &e))?;
        self.spend(groups.iter().chain(&arrays).map(|name| 64 + name.len() as u64).sum())?;
        groups.sort();
        arrays.sort();
        Ok((groups, arrays))
    }

    /// Returns the sizes of an array.
    pub(super) fn shape(&self, path: &str) -> Result<Vec<usize>, KerasError> {
        let sizes = self.dataset(path)?.shape().to_vec();
        let shape: Result<Vec<usize>, _> = sizes.iter().map(|&d| usize::try_from(d)).collect();
        shape.map_err(|_| KerasError::Malformed(format!("{path} has shape {sizes:?}")))
    }

    fn dataset(&self, path: &str) -> Result<Dataset, KerasError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let missing = || KerasError::Malformed(format!("array {path:?} is missing"));
        let group = self.group(parent)?.ok_or_else(missing)?;
        match group.dataset(name) {
            Ok(dataset) => Ok(dataset),
            Err(Hdf5Error::DatasetNotFound(_)) => Err(missing()),
            Err(error) => Err(damaged(path, &error)),
        }
    }

    /// Reads an array.
    pub(super) fn array(&mut self, path: &str) -> Result<Array, KerasError> {
        let dataset = self.dataset(path)?;
        let (shape, element) = self.admit(path, &dataset)?;
        let bytes = match dataset.chunks() {
            None => dataset.read_raw_bytes().map_err(|e| damaged(path, &e))?,
            Some(sizes) => {
                let grid = self.admit_chunks(path, &shape, &sizes, element)?;
                chunked(&dataset, &shape, element.size(), grid).map_err(|trouble| trouble.at(path))?
            }
        };
        if bytes.len() != shape.iter().product::<usize>() * element.size() {
            return Err(KerasError::Damaged(format!("{path}: {} bytes for {shape:?}", bytes.len())));
        }
        Ok(Array { shape, values: element.decode(&bytes).into() })
    }

    /// Checks an array's shape and type against the limits before memory is allocated.
    fn admit(&mut self, path: &str, dataset: &Dataset) -> Result<(Vec<usize>, Element), KerasError> {
        let element = Element::of(dataset.dtype())
            .ok_or_else(|| KerasError::Malformed(format!("{path}: numbers of type {:?}", dataset.dtype())))?;
        let sizes = dataset.shape();
        if sizes.len() > MAX_RANK {
            return Err(KerasError::Malformed(format!("{path} has {} axes", sizes.len())));
        }
        let stored = sizes.iter().try_fold(element.size() as u64, |n, &d| n.checked_mul(d));
        let stored = stored.unwrap_or(u64::MAX);
        check(path, stored, self.most_bytes())?;
        let memory = (stored / element.size() as u64).saturating_mul(4).max(stored);
        self.bytes = self.bytes.saturating_add(memory);
        check("all arrays together", self.bytes, MAX_ARRAYS)?;
        self.count += 1;
        check("the number of arrays", self.count as u64, MAX_COUNT as u64)?;
        let shape: Result<Vec<usize>, _> = sizes.iter().map(|&d| usize::try_from(d)).collect();
        let shape = shape.map_err(|_| KerasError::Malformed(format!("{path} has shape {sizes:?}")))?;
        Ok((shape, element))
    }

    /// Returns the maximum size of an array that the file can contain.
    fn most_bytes(&self) -> u64 {
        self.length.saturating_mul(MAX_RATIO).min(MAX_ARRAYS)
    }

    /// Checks the chunks of an array against the limits and returns their number. They may be larger than the array,
    /// and each is decompressed as a whole.
    fn admit_chunks(
        &mut self,
        path: &str,
        shape: &[usize],
        sizes: &[u32],
        element: Element,
    ) -> Result<usize, KerasError> {
        let along = |(&whole, &size): (&usize, &u32)| whole.div_ceil((size as usize).max(1));
        let grid = shape.iter().zip(sizes).map(along).try_fold(1usize, usize::checked_mul);
        let grid = grid.unwrap_or(usize::MAX);
        let one =
            sizes.iter().take(shape.len()).try_fold(element.size() as u64, |n, &d| n.checked_mul(d.into()));
        let all = one.and_then(|one| one.checked_mul(grid as u64)).unwrap_or(u64::MAX);
        check(&format!("{path} with the edges of its chunks"), all, self.most_bytes())?;
        let own = shape.iter().product::<usize>() * element.size();
        self.bytes = self.bytes.saturating_add(all.saturating_sub(own as u64));
        check("all arrays together", self.bytes, MAX_ARRAYS)?;
        if grid as u64 > self.length {
            let what = format!("{path} has {grid} chunks in a file of {} bytes", self.length);
            return Err(KerasError::Damaged(what));
        }
        Ok(grid)
    }
}

enum Trouble {
    Hdf5(Hdf5Error),
    Keras(KerasError),
    Own(String),
}

impl Trouble {
    /// Converts to an error with the place in the file.
    fn at(self, place: &str) -> KerasError {
        match self {
            Self::Hdf5(e) => damaged(place, &e),
            Self::Keras(e) => e,
            Self::Own(what) => KerasError::Damaged(format!("{place}: {what}")),
        }
    }
}

impl From<KerasError> for Trouble {
    fn from(error: KerasError) -> Self {
        Self::Keras(error)
    }
}

impl From<Hdf5Error> for Trouble {
    fn from(error: Hdf5Error) -> Self {
        Self::Hdf5(error)
    }
}

/// Assembles the bytes of an array stored in up to `grid` chunks; bytes not covered by a chunk are 0.
fn chunked(dataset: &Dataset, shape: &[usize], element: usize, grid: usize) -> Result<Vec<u8>, Trouble> {
    let mut bytes = vec![0; shape.iter().product::<usize>() * element];
    for (number, chunk) in dataset.iter_chunks()?.enumerate() {
        if number == grid {
            return Err(Trouble::Own(format!("more chunks than the {grid} that cover it")));
        }
        let chunk = chunk?;
        place(&mut bytes, shape, element, chunk.offsets(), chunk.shape(), chunk.bytes()).ok_or_else(
            || Trouble::Own(format!("a chunk of {:?} at {:?}", chunk.shape(), chunk.offsets())),
        )?;
    }
    Ok(bytes)
}

/// Copies a chunk to its position, row by row, clipped at the edges of the array. `None` if the chunk lies outside the
/// array.
fn place(
    bytes: &mut [u8],
    shape: &[usize],
    element: usize,
    offsets: &[u64],
    sizes: &[u64],
    chunk: &[u8],
) -> Option<()> {
    // Old files list the size of an element as an additional axis.
    let sizes = sizes.get(..shape.len())?;
    let sizes: Option<Vec<usize>> = sizes.iter().map(|&d| usize::try_from(d).ok()).collect();
    let offsets: Option<Vec<usize>> =
        offsets.get(..shape.len())?.iter().map(|&d| usize::try_from(d).ok()).collect();
    let (sizes, offsets) = (sizes?, offsets?);
    let inside: Option<Vec<usize>> = shape
        .iter()
        .zip(&offsets)
        .zip(&sizes)
        .map(|((&whole, &from), &size)| whole.checked_sub(from).map(|rest| rest.min(size)))
        .collect();
    let inside = inside?;
    let (row, outer) = inside.split_last()?;
    let rows: usize = outer.iter().product();
    for index in 0..rows {
        let (mut from, mut to, mut rest) = (0, 0, index);
        let mut strides = (1, 1);
        for axis in (0..shape.len()).rev() {
            let at = if axis + 1 == shape.len() {
                0
            } else {
                let at = rest % inside[axis];
                rest /= inside[axis];
                at
            };
            from += at * strides.0;
            to += (offsets[axis] + at) * strides.1;
            strides = (strides.0 * sizes[axis], strides.1 * shape[axis]);
        }
        let source = chunk.get(from * element..(from + row) * element)?;
        bytes.get_mut(to * element..(to + row) * element)?.copy_from_slice(source);
    }
    Some(())
}

/// Encoding of numbers.
#[derive(Clone, Copy, Debug)]
struct Element {
    kind: Kind,
    big: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F16,
    F32,
    F64,
    Integer { size: usize, signed: bool },
}

impl Element {
    fn of(datatype: &Datatype) -> Option<Self> {
        let (kind, order) = match datatype {
            Datatype::FloatingPoint { size: 2, byte_order } => (Kind::F16, byte_order),
            Datatype::FloatingPoint { size: 4, byte_order } => (Kind::F32, byte_order),
            Datatype::FloatingPoint { size: 8, byte_order } => (Kind::F64, byte_order),
            Datatype::FixedPoint { size, signed, byte_order } if matches!(size, 1 | 2 | 4 | 8) => {
                (Kind::Integer { size: usize::from(*size), signed: *signed }, byte_order)
            }
            _ => return None,
        };
        Some(Self { kind, big: *order == ByteOrder::BigEndian })
    }

    fn size(self) -> usize {
        match self.kind {
            Kind::F16 => 2,
            Kind::F32 => 4,
            Kind::F64 => 8,
            Kind::Integer { size, .. } => size,
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // all computation is in single precision
    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let one = |bytes: &[u8]| {
            let mut le = [0u8; 8];
            for (i, &b) in bytes.iter().enumerate().take(8) {
                le[if self.big { bytes.len() - 1 - i } else { i }] = b;
            }
            let bits = u64::from_le_bytes(le);
            match self.kind {
                Kind::F16 => half::f16::from_bits(bits as u16).to_f32(),
                Kind::F32 => f32::from_bits(bits as u32),
                Kind::F64 => f64::from_bits(bits) as f32,
                Kind::Integer { size, signed: true } => {
                    let shift = 64 - 8 * size;
                    ((bits << shift).cast_signed() >> shift) as f32
                }
                Kind::Integer { .. } => bits as f32,
            }
        };
        bytes.chunks_exact(self.size()).map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_cut_at_the_edge() {
        let mut bytes = vec![0; 6];
        place(&mut bytes, &[2, 3], 1, &[0, 2], &[2, 2], &[1, 9, 2, 9]).unwrap();
        place(&mut bytes, &[2, 3], 1, &[0, 0], &[2, 2], &[3, 4, 5, 6]).unwrap();
        assert_eq!(bytes, [3, 4, 1, 5, 6, 2]);
        assert!(place(&mut bytes, &[2, 3], 1, &[0, 4], &[2, 2], &[0; 4]).is_none(), "outside");
        assert!(place(&mut bytes, &[2, 3], 1, &[0, 0], &[2, 2], &[0; 3]).is_none(), "too short");
    }

    #[test]
    fn numbers_of_every_kind_become_single_precision() {
        let decode = |kind, big, bytes: &[u8]| Element { kind, big }.decode(bytes);
        assert_eq!(decode(Kind::F32, true, &1.5f32.to_be_bytes()), [1.5]);
        assert_eq!(decode(Kind::F64, false, &(-2.0f64).to_le_bytes()), [-2.0]);
        assert_eq!(decode(Kind::F16, false, &[0, 0x3c]), [1.0]);
        assert_eq!(decode(Kind::Integer { size: 2, signed: true }, false, &(-3i16).to_le_bytes()), [-3.0]);
        assert_eq!(decode(Kind::Integer { size: 1, signed: false }, false, &[200]), [200.0]);
    }
}
