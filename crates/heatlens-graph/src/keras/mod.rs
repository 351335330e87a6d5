//! Reading of Keras files, `.keras` archives and legacy `.h5` files, into a [`Graph`].
//!
//! A file has two parts: a description (JSON: layers, their settings and their calls) and arrays (HDF5). `spec` reads
//! the former, `store` and `weights` locate the latter, `read` visits the calls, and the table in `layers` converts
//! each call to nodes. Layers of unknown class or with unknown settings are rejected, all in one error. Any deviation
//! from the file's own semantics is reported as a warning.
//!
//! Images enter the graph as N×C×H×W, even if the model was written for N×H×W×C: see `scope`. Values have the names of
//! the layers that compute them; intermediate values of a layer are named `layer/step`, layers of a nested model
//! `model/layer`, and further calls of a layer `layer_1`, `layer_2`.

mod advice;
mod archive;
mod config;
mod error;
mod layers;
mod limits;
mod read;
mod scope;
mod spec;
mod store;
mod weights;

use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value as Json;

pub use error::{KerasError, LayerError};

use crate::graph::Graph;
use limits::{MAX_DESCRIPTION, MAX_FILE};
use scope::Era;
use store::Store;
use weights::Place;

/// Model read from a file.
#[derive(Clone, Debug)]
pub struct KerasModel {
    /// The network.
    pub graph: Graph,
    /// Notes on how the file was read, one sentence each. Often empty.
    pub warnings: Vec<String>,
}

/// Settings for what a file leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KerasOptions {
    /// Height and width of the images, if the model accepts any size.
    pub input_size: Option<[usize; 2]>,
}

/// Signature of a zip archive.
const ZIP: &[u8] = b"PK\x03\x04";
/// Signature of the central directory's end record of a zip archive.
const ZIP_END: &[u8] = b"PK\x05\x06";
/// Signature of an HDF5 file.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Name of a file that only archives of Keras contain.
const WEIGHTS: &str = "model.weights.h5";

/// Reads a model file, `.keras` or `.h5`, whatever its extension.
///
/// # Errors
/// If the file cannot be read, is larger than 2 GiB, is not a Keras model, or has unsupported layers.
pub fn open_file(path: &Path) -> Result<KerasModel, KerasError> {
    open_file_with(path, &KerasOptions::default())
}

/// Like [`open_file`], with settings for what the file leaves open.
///
/// # Errors
/// Same as [`open_file`].
pub fn open_file_with(path: &Path, options: &KerasOptions) -> Result<KerasModel, KerasError> {
    open_source(BufReader::new(crate::open_regular(path)?), options)
}

/// Reads a model from memory.
///
/// # Errors
/// Same as [`open_file`].
pub fn open(bytes: &[u8], options: &KerasOptions) -> Result<KerasModel, KerasError> {
    open_source(Cursor::new(bytes), options)
}

/// True if a file looks like a Keras model, by its first bytes and, for archives, its last.
#[must_use]
pub fn recognises(ends: &[u8]) -> bool {
    ends.starts_with(HDF5)
        || ends.starts_with(ZIP) && ends.windows(WEIGHTS.len()).any(|window| window == WEIGHTS.as_bytes())
}

fn open_source(mut source: impl Read + Seek, options: &KerasOptions) -> Result<KerasModel, KerasError> {
    const WINDOW: u64 = 1 << 16;
    let mut ends = Vec::new();
    source.by_ref().take(WINDOW).read_to_end(&mut ends)?;
    let length = source.seek(SeekFrom::End(0))?;
    limits::check("the file", length, MAX_FILE)?;
    source.seek(SeekFrom::Start(length.saturating_sub(WINDOW).max(ends.len() as u64)))?;
    source.by_ref().take(WINDOW).read_to_end(&mut ends)?;
    source.seek(SeekFrom::Start(0))?;
    if !recognises(&ends) {
        let (looks_like, advice) = crate::sniff::looks_like(&ends)
            .unwrap_or(("something else", "save the model in Keras with `model.save(\"model.keras\")`"));
        return Err(KerasError::NotKeras { looks_like, advice });
    }
    if ends.starts_with(ZIP) {
        if !ends.windows(ZIP_END.len()).any(|window| window == ZIP_END) {
            let what = "the list of its files, which belongs at its end, is missing (cut off?)";
            return Err(KerasError::Damaged(what.to_owned()));
        }
        return open_archive(source, options);
    }
    let mut bytes = Vec::new();
    source.take(MAX_FILE).read_to_end(&mut bytes)?;
    open_hdf5(Store::open(bytes)?, options)
}

fn open_archive(source: impl Read + Seek, options: &KerasOptions) -> Result<KerasModel, KerasError> {
    let archive = archive::read(source)?;
    let config = parse(&archive.config)?;
    let about = parse(&archive.metadata)?;
    let era = era(about.get("keras_version").and_then(Json::as_str).unwrap_or("3"));
    let store = Store::open(archive.weights)?;
    read::model(&config, store, &Place::Folder(String::new()), era, options)
}

fn open_hdf5(store: Store, options: &KerasOptions) -> Result<KerasModel, KerasError> {
    let Some(config) = store.text("", "model_config")? else {
        let weights = store.texts("", "layer_names")?.is_some() || !store.groups("layers")?.is_empty();
        let (looks_like, advice) = if weights {
            (
                "Keras weights without a model",
                "build the model in Python, load them with `model.load_weights(…)`, and save both with \
                 `model.save(\"model.keras\")`",
            )
        } else {
            (
                "an HDF5 file without a Keras model",
                "save the model in Keras with `model.save(\"model.keras\")`",
            )
        };
        return Err(KerasError::NotKeras { looks_like, advice });
    };
    let config = parse(&config)?;
    let version = match store.text("", "keras_version")? {
        Some(version) => Some(version),
        None => store.text("model_weights", "keras_version")?,
    };
    // Files without a version are older than the attribute.
    let era = era(version.as_deref().unwrap_or("1"));
    read::model(&config, store, &Place::Groups("model_weights".to_owned()), era, options)
}

/// Parses JSON as written by Python, which may contain `Infinity` and `NaN`; these are reported as errors.
fn parse(text: &str) -> Result<Json, KerasError> {
    limits::check("its description in memory", unfolded(text), MAX_DESCRIPTION)?;
    serde_json::from_str(text).map_err(|e| {
        let python = ["Infinity", "NaN"].iter().any(|word| text.contains(word));
        let hint = if python { " (a setting is infinite or NaN)" } else { "" };
        KerasError::Malformed(format!("its description is not JSON: {e}{hint}; save the model again"))
    })
}

/// Returns an upper bound of the memory for a description: an object is a tree whose nodes have room for eleven
/// members.
fn unfolded(text: &str) -> u64 {
    const VALUE: u64 = 2 * size_of::<Json>() as u64; // lists grow by doubling
    const OBJECT: u64 = 12 * (size_of::<Json>() + size_of::<String>()) as u64;
    let of = |byte| match byte {
        b'{' => OBJECT,
        b'[' | b',' => VALUE,
        _ => 1,
    };
    text.bytes().map(of).sum()
}

fn era(version: &str) -> Era {
    match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(0 | 1) => Era::Keras1,
        Some(2) => Era::Keras2,
        _ => Era::Keras3,
    }
}
