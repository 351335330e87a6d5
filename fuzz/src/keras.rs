//! Damage to Keras files: to the archive, its description or its HDF5 file, repacked with and without compression.

use std::io::{Cursor, Read, Write};

use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::random::Random;
use crate::{json, mutate};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.weights.h5";

type Files = Vec<(String, Vec<u8>)>;

/// True if a file is an archive, not HDF5.
fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK")
}

/// Returns a damaged copy of `bytes`, with pieces of `other`.
pub fn damage(random: &mut Random, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    match random.below(8) {
        0 => mutate::bytes(random, &mut damaged, other),
        _ if is_archive(bytes) => {
            if let Some(mut files) = unpack(bytes) {
                inside(random, &mut files, other);
                let method = *random.of(&[CompressionMethod::Deflated, CompressionMethod::Stored]);
                damaged = pack(&files, method).unwrap_or(damaged);
                if random.below(16) == 0 {
                    mutate::bytes(random, &mut damaged, other);
                }
            }
        }
        1 | 2 => mutate::hdf5(random, &mut damaged, other),
        _ => described(random, &mut damaged, other),
    }
    damaged
}

/// Damages files of an archive, most often the description.
fn inside(random: &mut Random, files: &mut Files, other: &[u8]) {
    let what = random.below(16);
    let wanted = if what < 12 { CONFIG } else { WEIGHTS };
    let Some(at) = files.iter().position(|(name, _)| name == wanted) else { return };
    match what {
        0..=9 => {
            let donor = description(other).unwrap_or(Value::Null);
            if let Ok(mut config) = serde_json::from_slice(&files[at].1) {
                json::structure(random, &mut config, &donor);
                files[at].1 = config.to_string().into_bytes();
            }
        }
        10 => text(random, &mut files[at].1),
        11 => mutate::bytes(random, &mut files[at].1, other),
        12..=14 => mutate::hdf5(random, &mut files[at].1, other),
        _ => entries(random, files, at),
    }
}

/// Damages the list of files: missing, duplicated, huge, outside the folder, from another model.
fn entries(random: &mut Random, files: &mut Files, at: usize) {
    match random.below(6) {
        0 => drop(files.remove(at)),
        1 => files.push(("model.weights_0.h5".to_owned(), files[at].1.clone())),
        2 => files.push(("../../secret.bin".to_owned(), files[at].1.clone())),
        3 => files[at].1 = vec![0; 50_000_000],
        4 => files[0].1 = [b"[".repeat(random.below(200_000)), b"]".to_vec()].concat(),
        _ => files[0].1 = [b"[".to_vec(), b"0,".repeat(random.below(2_000_000)), b"0]".to_vec()].concat(),
    }
}

/// Damages the text of a description: deep nesting, truncation, words that are not JSON.
fn text(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    let insert: Vec<u8> = match random.below(4) {
        0 => b"[".repeat(*random.of(&[100, 127, 128, 5000, 300_000])),
        1 => b"{\"a\":".repeat(*random.of(&[100, 128, 100_000])),
        2 => b"NaN".to_vec(),
        _ => b"Infinity".to_vec(),
    };
    bytes.splice(at..at, insert);
}

/// Damages the description inside an HDF5 file, if the new one fits in place of the old one.
fn described(random: &mut Random, bytes: &mut [u8], other: &[u8]) {
    let Some(place) = description_place(bytes) else { return };
    let Ok(mut config) = serde_json::from_slice::<Value>(&bytes[place.clone()]) else { return };
    let donor = description(other).unwrap_or(Value::Null);
    for _ in 0..5 {
        let before = config.clone();
        json::structure(random, &mut config, &donor);
        let mut new = config.to_string().into_bytes();
        if new.len() <= place.len() {
            new.resize(place.len(), b' ');
            bytes[place].copy_from_slice(&new);
            return;
        }
        config = before;
    }
}

/// Returns the description of a model in a file of either kind.
fn description(bytes: &[u8]) -> Option<Value> {
    if is_archive(bytes) {
        let files = unpack(bytes)?;
        let (_, config) = files.iter().find(|(name, _)| name == CONFIG)?;
        return serde_json::from_slice(config).ok();
    }
    serde_json::from_slice(&bytes[description_place(bytes)?]).ok()
}

/// Returns the position of the description in an HDF5 file.
fn description_place(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    const STARTS: [&[u8]; 3] = [b"{\"class_name\"", b"{\"module\"", b"{\"config\""];
    let start = |s: &&[u8]| bytes.windows(s.len()).position(|w| w == *s);
    let start = STARTS.iter().filter_map(start).min()?;
    let mut stream = serde_json::Deserializer::from_slice(&bytes[start..]).into_iter::<Value>();
    stream.next()?.ok()?;
    Some(start..start + stream.byte_offset())
}

fn unpack(bytes: &[u8]) -> Option<Files> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut files = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).ok()?;
        let (name, mut content) = (file.name().ok()?.to_string(), Vec::new());
        file.read_to_end(&mut content).ok()?;
        files.push((name, content));
    }
    Some(files)
}

fn pack(files: &Files, method: CompressionMethod) -> Option<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(name, SimpleFileOptions::default().compression_method(method)).ok()?;
        archive.write_all(content).ok()?;
    }
    archive.finish().ok().map(Cursor::into_inner)
}
