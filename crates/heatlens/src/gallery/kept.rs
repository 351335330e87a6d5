//! What a shard or an unfinished run keeps of its images, so that a merged or resumed run is the same as one in a piece:
//! every explanation as it was computed, in `explanations.bin`, beside the line in `manifest.jsonl` and the pictures.
//!
//! A record is what cannot be told from the model: the image's number, a hash of its pixels, the logits, and for each
//! map the class, why it is empty and its values; at last the tensors, where they were asked for. All numbers are
//! little-endian; every length follows from the model and the methods.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value;

use crate::data::Sample;
use crate::explain::{Attribution, Explainer, Explanation, MapSpec, Tensors, ZeroMap};
use crate::gallery::GalleryError;
use crate::model::Layer;

const FILE: &str = "explanations.bin";

/// The file while it grows.
#[derive(Debug)]
pub(super) struct Keeper {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Keeper {
    /// Opens the file, empty, or to go on behind what is there.
    pub(super) fn open(folder: &Path, go_on: bool) -> Result<Self, GalleryError> {
        let path = folder.join(FILE);
        let mut options = File::options();
        options.create(true).write(true).append(go_on).truncate(!go_on);
        let file = options.open(&path).map_err(GalleryError::writing(&path))?;
        Ok(Self { file: BufWriter::new(file), path })
    }

    pub(super) fn keep(&mut self, item: usize, sample: &Sample, e: &Explanation) -> Result<(), GalleryError> {
        let mut bytes = Vec::new();
        bytes.extend((item as u64).to_le_bytes());
        bytes.extend(hash(&sample.pixels).to_le_bytes());
        put(&mut bytes, &e.logits);
        for map in &e.attributions {
            bytes.extend((map.class as u64).to_le_bytes());
            let reason = map.zero.and_then(|zero| ZeroMap::ALL.iter().position(|known| *known == zero));
            bytes.push(reason.map_or(0, |at| at as u8 + 1));
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

    pub(super) fn flush(&mut self) -> Result<(), GalleryError> {
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

/// What all shards of a run kept, or one that was interrupted, read image by image.
#[derive(Debug)]
pub struct Kept {
    shards: Vec<Opened>,
    /// Images that were not read yet; of shards all there are.
    left: usize,
}

#[derive(Debug)]
struct Opened {
    folder: PathBuf,
    explanations: BufReader<File>,
    lines: BufReader<File>,
}

impl Opened {
    fn new(folder: &Path) -> Result<Self, GalleryError> {
        let open = |name: &str| {
            let path = folder.join(name);
            match File::open(&path) {
                Ok(file) => Ok(BufReader::new(file)),
                Err(source) => Err(GalleryError::Read { path, source }),
            }
        };
        Ok(Self { folder: folder.to_owned(), explanations: open(FILE)?, lines: open(super::manifest::FILE)? })
    }
}

/// Bytes of an image's record.
fn record_len(explainer: &Explainer) -> u64 {
    let floats = |count: usize| 4 * count as u64;
    let maps = explainer.maps().iter().map(|spec| 9 + floats(spec.shape.iter().product()));
    let tensors = explainer.tensors_layer().map_or(0, |layer| {
        let [c, h, w] = layer.shape;
        let image: usize = explainer.model().shape().iter().product();
        1 + floats(2 * c * h * w + image + c + h * w)
    });
    16 + floats(explainer.model().head.outputs) + maps.sum::<u64>() + tensors
}

/// One image that was explained before.
pub(super) struct Remembered {
    pub(super) explanation: Explanation,
    /// Its line in the manifest.
    pub(super) line: String,
    /// Its pictures, relative to the folder.
    files: Vec<String>,
    /// Where they are.
    folder: PathBuf,
}

impl Kept {
    /// Opens the folders of all shards, in the order of their numbers.
    ///
    /// # Errors
    /// If a file that a shard leaves cannot be read.
    pub fn open(folders: &[PathBuf]) -> Result<Self, GalleryError> {
        let shards = folders.iter().map(|folder| Opened::new(folder)).collect::<Result<_, GalleryError>>()?;
        Ok(Self { shards, left: usize::MAX })
    }

    /// Removes what a run kept in a folder, if it did: nobody goes on with it.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn discard(folder: &Path) -> Result<(), GalleryError> {
        let path = folder.join(FILE);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(GalleryError::writing(&path)(e)),
            _ => Ok(()),
        }
    }

    /// Opens the folder of a run that was interrupted, and cuts off what it had only begun to write. `None` if nothing was
    /// kept: it had not come to its first image.
    ///
    /// # Errors
    /// If one of its files cannot be read or changed.
    pub fn of_interrupted(folder: &Path, explainer: &Explainer) -> Result<Option<Self>, GalleryError> {
        let [bin, manifest] = [FILE, super::manifest::FILE].map(|name| folder.join(name));
        if !bin.exists() || !manifest.exists() {
            return Ok(None);
        }
        let reading = |path: &Path| {
            let path = path.to_owned();
            |source| GalleryError::Read { path, source }
        };
        let mut lines = BufReader::new(File::open(&manifest).map_err(reading(&manifest))?);
        let record = record_len(explainer);
        let records = fs::metadata(&bin).map_err(reading(&bin))?.len() / record;
        let (mut left, mut bytes, mut line) = (0, 0, Vec::new());
        while left < records {
            line.clear();
            lines.read_until(b'\n', &mut line).map_err(reading(&manifest))?;
            if line.last() != Some(&b'\n') {
                break;
            }
            (left, bytes) = (left + 1, bytes + line.len() as u64);
        }
        for (path, len) in [(&bin, left * record), (&manifest, bytes)] {
            let file = File::options().write(true).open(path);
            file.and_then(|file| file.set_len(len)).map_err(GalleryError::writing(path))?;
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        Ok(Some(Self { shards: vec![Opened::new(folder)?], left }))
    }

    /// How many of so many images are known.
    pub(super) fn known(&self, images: usize) -> usize {
        self.left.min(images)
    }

    /// The next image, which must be this one.
    pub(super) fn next(
        &mut self,
        explainer: &Explainer,
        item: usize,
        sample: &Sample,
    ) -> Result<Remembered, GalleryError> {
        self.left -= 1;
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
    /// Whether pictures and line are in this folder already.
    pub(super) fn is_in(&self, out: &Path) -> bool {
        self.folder == out
    }

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
    let zero = match usize::from(byte(file)?) {
        0 => None,
        number => Some(*ZeroMap::ALL.get(number - 1).ok_or_else(|| damaged("a reason"))?),
    };
    let values = floats(file, spec.shape.iter().product())?;
    Ok(Attribution {
        method: spec.method,
        layer: spec.layer.clone(),
        class,
        shape: spec.shape.clone(),
        placement: spec.placement,
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
