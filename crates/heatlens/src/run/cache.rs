//! Cache of a run's explanations, exactly as computed, so that a merged or resumed run is identical to an uninterrupted
//! one. It is stored in `explanations.bin`, next to the lines of `manifest.jsonl` and the pictures.
//!
//! A record holds everything that does not follow from the model: the image's number, checksums of its pixels and of
//! its line, the logits, for each map the class, the reason if it is empty, and its values, then the tensors if
//! requested, and finally a checksum of all that. All numbers are little-endian; every length follows from the model
//! and the methods.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value;

use crate::data::{Sample, open_growing};
use crate::explain::{Attribution, Explainer, Focus, ImageAttributions, MapSpec, Tensors, ZeroMap};
use crate::extremes::extremes;
use crate::model::{Head, Layer};
use crate::run::checksum::{checksum, checksum_of};
use crate::run::sinks::manifest;
use crate::run::{ExplainedImage, RunError, Sink};

const FILE: &str = "explanations.bin";
/// Position of the line's checksum in a record.
const LINE_SUM: Range<usize> = 16..24;

/// Writer of the cache file.
#[derive(Debug)]
pub(super) struct CacheWriter {
    file: BufWriter<File>,
    path: PathBuf,
}

impl CacheWriter {
    /// Opens the file, either empty or to append to the existing records.
    pub(super) fn open(folder: &Path, go_on: bool) -> Result<Self, RunError> {
        let path = folder.join(FILE);
        let file = open_growing(&path, go_on).map_err(RunError::writing(&path))?;
        Ok(Self { file: BufWriter::new(file), path })
    }
}

impl Sink for CacheWriter {
    fn write(&mut self, image: &ExplainedImage<'_>) -> Result<(), RunError> {
        if image.written {
            return Ok(());
        }
        let mut bytes = Vec::new();
        bytes.extend((image.item as u64).to_le_bytes());
        bytes.extend(checksum_of(&image.sample.pixels));
        bytes.extend(checksum(image.line.as_bytes()));
        put(&mut bytes, &image.explanation.logits);
        for map in &image.explanation.attributions {
            bytes.extend((map.class as u64).to_le_bytes());
            let reason = map.zero.and_then(|zero| ZeroMap::ALL.iter().position(|known| *known == zero));
            bytes.push(reason.map_or(0, |at| at as u8 + 1));
            Focus::store(map.focus.as_ref(), &image.explainer.model().head, &mut bytes);
            put(&mut bytes, &map.values);
        }
        if let Some(t) = &image.explanation.tensors {
            bytes.push(u8::from(t.dense_weights));
            for values in [&t.conv_output, &t.conv_grad, &t.input_grad, &t.weights, &t.cam] {
                put(&mut bytes, values);
            }
        }
        bytes.extend(checksum(&bytes));
        self.file.write_all(&bytes).map_err(RunError::writing(&self.path))
    }

    fn commit(&mut self) -> Result<(), RunError> {
        self.file.flush().map_err(RunError::writing(&self.path))
    }
}

fn put(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
}

/// Reader of the explanations cached by all shards of a run, or by an interrupted run, image by image.
#[derive(Debug)]
pub struct CacheReader {
    folders: Vec<Opened>,
    /// Number of cached images not read yet; `usize::MAX` for shards, which hold all images.
    left: usize,
}

#[derive(Debug)]
struct Opened {
    folder: PathBuf,
    explanations: BufReader<File>,
    lines: BufReader<File>,
}

impl Opened {
    fn new(folder: &Path) -> Result<Self, RunError> {
        let open = |name: &str| {
            let path = folder.join(name);
            match File::open(&path) {
                Ok(file) => Ok(BufReader::new(file)),
                Err(source) => Err(RunError::Damaged { path, source }),
            }
        };
        Ok(Self { folder: folder.to_owned(), explanations: open(FILE)?, lines: open(manifest::FILE)? })
    }
}

/// Returns the length of an image's record in bytes.
fn record_len(explainer: &Explainer) -> usize {
    let focus = Focus::stored_len(&explainer.model().head);
    let maps = explainer.maps().iter().map(|spec| 9 + focus + 4 * spec.shape.iter().product::<usize>());
    let tensors = explainer.tensors_layer().map_or(0, |layer| {
        let [c, h, w] = layer.shape;
        let image: usize = explainer.model().shape().iter().product();
        1 + 4 * (2 * c * h * w + image + c + h * w)
    });
    24 + 4 * explainer.model().head.outputs + maps.sum::<usize>() + tensors + 8
}

/// Reads the next record. Returns `None` at the end of the file, or if the record is truncated or damaged.
fn record(file: &mut impl Read, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact(&mut bytes).ok()?;
    let (content, sum) = bytes.split_at(len - 8);
    (checksum(content) == *sum).then_some(bytes)
}

/// An image from the cache.
pub(super) struct Remembered {
    pub(super) explanation: ImageAttributions,
    /// Line of the image in the manifest.
    pub(super) line: String,
    /// Pictures of the image, relative to `folder`.
    pub(super) files: Vec<String>,
    /// Folder of the run that explained the image.
    folder: PathBuf,
}

impl CacheReader {
    /// Opens the folders of all shards, in the order of their numbers.
    ///
    /// # Errors
    /// If a file of a shard cannot be read.
    pub(super) fn of_shards(folders: &[PathBuf]) -> Result<Self, RunError> {
        let folders = folders.iter().map(|folder| Opened::new(folder)).collect::<Result<_, RunError>>()?;
        Ok(Self { folders, left: usize::MAX })
    }

    /// Removes the cache from a folder, if there is one, when it is no longer needed.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub(super) fn discard(folder: &Path) -> Result<(), RunError> {
        let path = folder.join(FILE);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(RunError::writing(&path)(e)),
            _ => Ok(()),
        }
    }

    /// Opens the folder of an interrupted run, and truncates its files before the first incomplete or damaged record.
    /// Returns `None` if there is no cache yet.
    ///
    /// # Errors
    /// If one of the files cannot be read or changed.
    pub(super) fn of_stopped(folder: &Path, explainer: &Explainer) -> Result<Option<Self>, RunError> {
        let [bin, lines] = [FILE, manifest::FILE].map(|name| folder.join(name));
        if !bin.exists() || !lines.exists() {
            return Ok(None);
        }
        let Opened { mut explanations, lines: mut text, .. } = Opened::new(folder)?;
        let len = record_len(explainer);
        let (mut left, mut bytes, mut line) = (0, 0, Vec::new());
        while let Some(record) = record(&mut explanations, len) {
            line.clear();
            text.read_until(b'\n', &mut line).map_err(RunError::reading(&lines))?;
            let Some((b'\n', written)) = line.split_last() else { break };
            if record[LINE_SUM] != checksum(written) {
                break;
            }
            (left, bytes) = (left + 1, bytes + line.len() as u64);
        }
        for (path, len) in [(&bin, (left * len) as u64), (&lines, bytes)] {
            let file = File::options().write(true).open(path);
            file.and_then(|file| file.set_len(len)).map_err(RunError::writing(path))?;
        }
        Ok(Some(Self { folders: vec![Opened::new(folder)?], left }))
    }

    /// Returns how many of the next `images` images are cached.
    pub(super) fn known(&self, images: usize) -> usize {
        self.left.min(images)
    }

    /// Returns the next image, which must be number `item`.
    pub(super) fn next(
        &mut self,
        explainer: &Explainer,
        item: usize,
        sample: &Sample,
    ) -> Result<Remembered, RunError> {
        self.left -= 1;
        let count = self.folders.len().max(1);
        let from = &mut self.folders[item % count];
        let path = from.folder.join(FILE);
        let damaged = |source| RunError::Damaged { path: path.clone(), source };
        let bytes = record(&mut from.explanations, record_len(explainer))
            .ok_or_else(|| damaged(wrong("a record that is cut off, or whose checksum is wrong")))?;
        let mut rest = bytes.as_slice();
        let number = word(&mut rest).map_err(damaged)?;
        let pixels = word(&mut rest).map_err(damaged)?;
        let sum = word(&mut rest).map_err(damaged)?;
        if number != item as u64 || pixels.to_le_bytes() != checksum_of(&sample.pixels) {
            return Err(RunError::OtherImages { folder: from.folder.clone(), item });
        }
        let explanation = explanation(&mut rest, explainer).map_err(damaged)?;
        let mut line = String::new();
        let path = from.folder.join(manifest::FILE);
        let damaged = |source| RunError::Damaged { path: path.clone(), source };
        from.lines.read_line(&mut line).map_err(damaged)?;
        if sum.to_le_bytes() != checksum(line.trim_end_matches('\n').as_bytes()) {
            return Err(damaged(wrong("a line whose checksum is wrong")));
        }
        let known: Value = serde_json::from_str(&line).map_err(|e| damaged(e.into()))?;
        let names = known["files"].as_array().into_iter().flatten();
        let files = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        Ok(Remembered { explanation, line: line.trim_end().to_owned(), files, folder: from.folder.clone() })
    }
}

impl Remembered {
    /// Returns true if the pictures and the line are in this folder already.
    pub(super) fn is_in(&self, out: &Path) -> bool {
        self.folder == out
    }

    /// Copies the pictures into a folder.
    pub(super) fn copy_pictures(&self, out: &Path) -> Result<(), RunError> {
        let copy = |name: &String| {
            let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            let (from, to) = (self.folder.join(name), out.join(name));
            if !inside {
                return Err(RunError::Damaged { path: from, source: wrong("a picture outside its folder") });
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(RunError::writing(parent))?;
            }
            fs::copy(&from, &to).map(drop).map_err(|source| RunError::Damaged { path: from, source })
        };
        self.files.par_iter().try_for_each(copy)
    }
}

fn explanation(file: &mut impl Read, explainer: &Explainer) -> std::io::Result<ImageAttributions> {
    let head = &explainer.model().head;
    let logits = floats(file, head.outputs)?;
    let maps = explainer.maps().iter().map(|spec| attribution(file, spec, head));
    let maps = maps.collect::<Result<_, _>>()?;
    let image = explainer.model().shape().iter().product();
    Ok(ImageAttributions {
        probabilities: head.probabilities(&logits),
        predicted: head.predicted(&logits),
        attributions: maps,
        tensors: explainer.tensors_layer().map(|layer| tensors(file, layer, image)).transpose()?,
        logits,
    })
}

fn attribution(file: &mut impl Read, spec: &MapSpec, head: &Head) -> std::io::Result<Attribution> {
    let class = usize::try_from(word(file)?).ok().filter(|&class| class < head.classes());
    let class = class.ok_or_else(|| wrong("a class that no shard writes"))?;
    let zero = match usize::from(byte(file)?) {
        0 => None,
        number => Some(*ZeroMap::ALL.get(number - 1).ok_or_else(|| wrong("a reason that no shard writes"))?),
    };
    let mut focus = vec![0; Focus::stored_len(head)];
    file.read_exact(&mut focus)?;
    let values = floats(file, spec.shape.iter().product())?;
    let [raw_min, raw_max] = extremes(&values);
    Ok(Attribution {
        focus: Focus::stored(head, &focus),
        method: spec.method,
        layer: spec.layer.clone(),
        class,
        shape: spec.shape.clone(),
        placement: spec.placement,
        raw_min,
        raw_max,
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

fn wrong(what: &str) -> std::io::Error {
    std::io::Error::other(format!("found {what}"))
}
