//! The `.keras` archive: a zip file with `config.json`, `metadata.json` and `model.weights.h5`.

use std::io::{Read, Seek};

use zip::ZipArchive;
use zip::result::ZipError;

use super::KerasError;
use super::limits::{MAX_CONFIG, MAX_FILE, MAX_PACKED_RATIO, MAX_UNPACKED, check};

/// Contents of a `.keras` file.
#[derive(Debug)]
pub(super) struct Archive {
    /// Description of the model, as JSON.
    pub(super) config: String,
    /// Version of Keras that wrote the file, as JSON.
    pub(super) metadata: String,
    /// Weights, as an HDF5 file.
    pub(super) weights: Vec<u8>,
}

/// Reads the three files of an archive.
pub(super) fn read(source: impl Read + Seek) -> Result<Archive, KerasError> {
    let mut zip = ZipArchive::new(source).map_err(damaged)?;
    let config = text(entry(&mut zip, "config.json", MAX_CONFIG)?)?;
    let metadata = text(entry(&mut zip, "metadata.json", MAX_CONFIG)?)?;
    if zip.index_for_name("model.weights.h5").is_none()
        && zip.file_names().any(|name| name.is_ok_and(|name| name.starts_with("model.weights")))
    {
        return Err(KerasError::Malformed(
            "its weights are split over several files; save it without `max_shard_size`".to_owned(),
        ));
    }
    let weights = entry(&mut zip, "model.weights.h5", MAX_FILE)?;
    Ok(Archive { config, metadata, weights })
}

/// Reads one file of the archive, at most as many bytes as its header declares.
fn entry(zip: &mut ZipArchive<impl Read + Seek>, name: &str, limit: u64) -> Result<Vec<u8>, KerasError> {
    let file = zip.by_name(name).map_err(|error| match error {
        ZipError::FileNotFound => KerasError::Malformed(format!("it contains no {name}")),
        other => damaged(other),
    })?;
    let announced = file.size();
    check(name, announced, limit)?;
    let packed = file.compressed_size();
    let honest = packed.saturating_mul(MAX_PACKED_RATIO).saturating_add(MAX_UNPACKED);
    check(&format!("{name}, packed into {packed} bytes,"), announced, honest)?;
    let mut bytes = Vec::new();
    file.take(announced + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| KerasError::Damaged(format!("{name}: {e}")))?;
    let found = bytes.len() as u64;
    if found != announced {
        let more = if found > announced { " or more" } else { "" };
        return Err(KerasError::Damaged(format!(
            "{name} announces {announced} bytes and holds {found}{more}"
        )));
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, KerasError> {
    String::from_utf8(bytes).map_err(|_| KerasError::Damaged("its description is not UTF-8 text".to_owned()))
}

fn damaged(error: ZipError) -> KerasError {
    match error {
        ZipError::Io(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => KerasError::Io(source),
        other => KerasError::Damaged(other.to_string()),
    }
}
