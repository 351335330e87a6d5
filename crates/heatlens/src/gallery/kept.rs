//! What a shard keeps of its images, so that a merged run is the same as one that was never split: every explanation as
//! it was computed, in `explanations.bin`, beside the line in `manifest.jsonl` and the pictures.
//!
//! A record is what cannot be told from the model: the image's number, a hash of its pixels, the logits, and for each
//! map the class, why it is empty and its values; at last the tensors, where they were asked for. All numbers are
//! little-endian; every length follows from the model and the methods.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value;

use crate::data::Sample;
use crate::explain::{Attribution, Explainer, Explanation, MapSpec, Tensors, ZeroMap};
use crate::gallery::GalleryError;
use crate::model::Layer;

const FILE: &str = "explanations.bin";

/// The reasons for an empty map, by their number in the file.
const ZEROS: [Option<ZeroMap>; 6] = [
    None,
    Some(ZeroMap::DeadLayer),
    Some(ZeroMap::ZeroGradient),
    Some(ZeroMap::NoOverlap),
    Some(ZeroMap::AllAgainst),
    Some(ZeroMap::NotFinite),
];

/// The file while it grows.
#[derive(Debug)]
pub(super) struct Keeper {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Keeper {
    pub(super) fn create(folder: &Path) -> Result<Self, GalleryError> {
        let path = folder.join(FILE);
        let file = File::create(&path).map_err(GalleryError::writing(&path))?;
        Ok(Self { file: BufWriter::new(file), path })
    }

    pub(super) fn keep(&mut self, item: usize, sample: &Sample, e: &Explanation) -> Result<(), GalleryError> {
        let mut bytes = Vec::new();
        bytes.extend((item as u64).to_le_bytes());
        bytes.extend(hash(&sample.pixels).to_le_bytes());
        put(&mut bytes, &e.logits);
        for map in &e.attributions {
            bytes.extend((map.class as u64).to_le_bytes());
            bytes.push(ZEROS.iter().position(|zero| *zero == map.zero).map_or(0, |at| at as u8));
            put(&mut bytes, &map.values);
        }
        if let Some(t) = &e.tensors {
            bytes.push(u8::from(t.dense_weights));
            for values in [&t.conv_output, &t.conv_grad, &t.input_grad, &t.weights, &t.cam] {
                put(&mut bytes, values);
            }
        }
        self.file.write_all(&bytes).map_err(GalleryError::writing(&self.path))
    }

    pub(super) fn finish(mut self) -> Result<(), GalleryError> {
        self.file.flush().map_err(GalleryError::writing(&self.path))
    }
}

fn put(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
}

/// FNV-1a over the bits of all values.
fn hash(pixels: &[f32]) -> u64 {
    let step = |hash: u64, v: &f32| (hash ^ u64::from(v.to_bits())).wrapping_mul(0x0100_0000_01b3);
    pixels.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// What all shards of a run kept, read image by image.
#[derive(Debug)]
pub struct Kept {
    shards: Vec<Opened>,
}

#[derive(Debug)]
struct Opened {
    folder: PathBuf,
    explanations: BufReader<File>,
    lines: BufReader<File>,
}

/// One image of a shard.
pub(super) struct Remembered {
    pub(super) explanation: Explanation,
    /// Its line in the manifest.
    pub(super) line: String,
    /// Its pictures, relative to the folder.
    pub(super) files: Vec<String>,
    /// The shard's folder.
    pub(super) folder: PathBuf,
}

impl Kept {
    /// Opens the folders of all shards, in the order of their numbers.
    ///
    /// # Errors
    /// If a file that a shard leaves cannot be read.
    pub fn open(folders: &[PathBuf]) -> Result<Self, GalleryError> {
        let open = |path: PathBuf| match File::open(&path) {
            Ok(file) => Ok(BufReader::new(file)),
            Err(source) => Err(GalleryError::Read { path, source }),
        };
        let shard = |folder: &PathBuf| {
            let (explanations, lines) = (open(folder.join(FILE))?, open(folder.join(super::manifest::FILE))?);
            Ok(Opened { folder: folder.clone(), explanations, lines })
        };
        Ok(Self { shards: folders.iter().map(shard).collect::<Result<_, GalleryError>>()? })
    }

    /// The next image, which must be this one.
    pub(super) fn next(
        &mut self,
        explainer: &Explainer,
        item: usize,
        sample: &Sample,
    ) -> Result<Remembered, GalleryError> {
        let count = self.shards.len().max(1);
        let shard = &mut self.shards[item % count];
        let path = shard.folder.join(FILE);
        let cut = |source| GalleryError::Read { path: path.clone(), source };
        let [number, pixels] = [(); 2].map(|()| word(&mut shard.explanations));
        if number.map_err(cut)? != item as u64 || pixels.map_err(cut)? != hash(&sample.pixels) {
            return Err(GalleryError::OtherImages { folder: shard.folder.clone(), item });
        }
        let explanation = explanation(&mut shard.explanations, explainer).map_err(cut)?;
        let mut line = String::new();
        let path = shard.folder.join(super::manifest::FILE);
        let wrong = |source| GalleryError::Read { path: path.clone(), source };
        shard.lines.read_line(&mut line).map_err(wrong)?;
        let known: Value = serde_json::from_str(&line).map_err(|e| wrong(e.into()))?;
        let names = known["files"].as_array().into_iter().flatten();
        let files = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        Ok(Remembered { explanation, line: line.trim_end().to_owned(), files, folder: shard.folder.clone() })
    }
}

impl Remembered {
    /// Copies the pictures.
    pub(super) fn copy_pictures(&self, out: &Path) -> Result<(), GalleryError> {
        let copy = |name: &String| {
            let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            let (from, to) = (self.folder.join(name), out.join(name));
            if !inside {
                return Err(GalleryError::Read {
                    path: from,
                    source: damaged("a picture outside its folder"),
                });
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(GalleryError::writing(parent))?;
            }
            fs::copy(&from, &to).map(drop).map_err(|source| GalleryError::Read { path: from, source })
        };
        self.files.par_iter().try_for_each(copy)
    }
}

fn explanation(file: &mut impl Read, explainer: &Explainer) -> std::io::Result<Explanation> {
    let head = &explainer.model().head;
    let logits = floats(file, head.outputs)?;
    let maps = explainer.maps().iter().map(|spec| attribution(file, spec, head.classes()));
    let maps = maps.collect::<Result<_, _>>()?;
    let image = explainer.model().shape().iter().product();
    Ok(Explanation {
        probabilities: head.probabilities(&logits),
        predicted: head.predicted(&logits),
        attributions: maps,
        tensors: explainer.tensors_layer().map(|layer| tensors(file, layer, image)).transpose()?,
        logits,
    })
}

fn attribution(file: &mut impl Read, spec: &MapSpec, classes: usize) -> std::io::Result<Attribution> {
    let class = usize::try_from(word(file)?).ok().filter(|&class| class < classes);
    let class = class.ok_or_else(|| damaged("a class"))?;
    let zero = ZEROS.get(usize::from(byte(file)?)).copied().ok_or_else(|| damaged("a reason"))?;
    let values = floats(file, spec.shape.iter().product())?;
    Ok(Attribution {
        method: spec.method,
        layer: spec.layer.clone(),
        class,
        shape: spec.shape.clone(),
        raw_min: values.iter().copied().fold(f32::INFINITY, f32::min),
        raw_max: values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        values,
        zero,
    })
}

fn tensors(file: &mut impl Read, layer: &Layer, image: usize) -> std::io::Result<Tensors> {
    let [c, h, w] = layer.shape;
    let dense_weights = byte(file)? == 1;
    let [conv_output, conv_grad] = [floats(file, c * h * w)?, floats(file, c * h * w)?];
    let [input_grad, weights, cam] = [floats(file, image)?, floats(file, c)?, floats(file, h * w)?];
    Ok(Tensors { layer: layer.clone(), conv_output, conv_grad, input_grad, weights, cam, dense_weights })
}

fn byte(file: &mut impl Read) -> std::io::Result<u8> {
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn word(file: &mut impl Read) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn floats(file: &mut impl Read, count: usize) -> std::io::Result<Vec<f32>> {
    let mut bytes = vec![0; 4 * count];
    file.read_exact(&mut bytes)?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn damaged(what: &str) -> std::io::Error {
    std::io::Error::other(format!("it holds {what} that no shard writes"))
}
