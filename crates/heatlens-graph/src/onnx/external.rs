//! Arrays in separate files next to the model, which models beyond 2 GiB require and some exporters always write. The
//! model is not trusted: the file must lie in the model's folder (with symbolic links resolved), the range must lie in
//! the file, and all ranges together must not exceed a small multiple of the file.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::proto::TensorProto;
use crate::error::OpError;
use crate::op::invalid;

/// Maximum total size of the ranges read from a file, as a multiple of its size: shared weights are stored once and
/// referenced twice.
const REUSE: u64 = 4;

/// Location of external arrays, and the number of bytes read from each file.
#[derive(Debug, Default)]
pub(super) struct External {
    /// Folder of the model; `None` for a model read from memory.
    folder: Option<PathBuf>,
    read: BTreeMap<PathBuf, u64>,
}

/// Entries of `external_data`.
struct Place<'a> {
    location: &'a str,
    offset: u64,
    length: Option<u64>,
}

impl External {
    /// Looks for arrays in the folder of a model file.
    pub(super) fn beside(model: &Path) -> Self {
        let folder = model.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
        Self { folder: folder.map(Path::to_owned), read: BTreeMap::new() }
    }

    /// Reads the bytes of an array, of which there must be `expected`.
    pub(super) fn read(&mut self, proto: &TensorProto, expected: u64) -> Result<Vec<u8>, OpError> {
        let place = Place::new(proto)?;
        let bad = |what: String| invalid(format!("its data are in {:?}: {what}", place.location));
        let path = self.path(place.location).map_err(bad)?;
        let absent = |e: std::io::Error| bad(format!("{e}; keep that file beside the model"));
        let mut file = crate::open_regular(&path).map_err(absent)?;
        let meta = file.metadata().map_err(absent)?;
        if !meta.is_file() {
            return Err(bad("expected a regular file".to_owned()));
        }
        let length = place.length.unwrap_or(expected);
        if length != expected {
            return Err(bad(format!("{length} bytes are announced, its sizes need {expected}")));
        }
        let size = meta.len();
        if place.offset.checked_add(length).is_none_or(|end| end > size) {
            let offset = place.offset;
            return Err(bad(format!("bytes {offset} to {offset} + {length} of a file of {size} (cut off?)")));
        }
        let total = self.read.entry(path).or_default();
        *total = total.saturating_add(length);
        if *total > size.saturating_mul(REUSE) {
            return Err(bad("its arrays overlap and take far more memory than the file".to_owned()));
        }
        file.seek(SeekFrom::Start(place.offset)).map_err(|e| bad(e.to_string()))?;
        let len = usize::try_from(length).map_err(|_| bad(format!("{length} bytes are too many")))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| bad(format!("no memory for {len} bytes")))?;
        file.take(length).read_to_end(&mut bytes).map_err(|e| bad(e.to_string()))?;
        if bytes.len() != len {
            return Err(bad(format!("it ended after {} bytes, expected {len}", bytes.len())));
        }
        Ok(bytes)
    }

    /// Resolves `location`, which must lie in the model's folder.
    fn path(&self, location: &str) -> Result<PathBuf, String> {
        let folder =
            self.folder.as_ref().ok_or("a model read from memory has no folder for further files")?;
        let relative = Path::new(location);
        let plain = |c: Component<'_>| matches!(c, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !relative.components().all(plain) {
            return Err("expected a file in the model's folder".to_owned());
        }
        let resolve =
            |path: &Path| path.canonicalize().map_err(|e| format!("{e}; keep that file beside the model"));
        let (folder, path) = (resolve(folder)?, resolve(&folder.join(relative))?);
        if path.starts_with(&folder) {
            Ok(path)
        } else {
            Err("it lies outside of the model's folder".to_owned())
        }
    }
}

impl<'a> Place<'a> {
    fn new(proto: &'a TensorProto) -> Result<Self, OpError> {
        let entry = |key: &str| proto.external_data.iter().find(|e| e.key() == key).map(|e| e.value());
        let number = |key: &str| -> Result<Option<u64>, OpError> {
            let parse = |text: &str| {
                text.parse()
                    .map_err(|_| invalid(format!("expected a number as {key:?} of its data, found {text:?}")))
            };
            entry(key).map(parse).transpose()
        };
        let location =
            entry("location").ok_or_else(|| invalid("its data are in another file whose name is missing"))?;
        Ok(Self { location, offset: number("offset")?.unwrap_or(0), length: number("length")? })
    }
}
