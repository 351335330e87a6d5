//! Helpers: tiny images with distinguishable classes, running the program, reading its output.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use heatlens::data::{NpzWriter, npy_bytes};
use image::GrayImage;
use serde_json::Value;
use tempfile::TempDir;

/// Side length of the images in pixels.
pub(crate) const SIDE: usize = 16;

/// Output of a finished command.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Reads the output of a process; no command may ever panic.
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(!stderr.contains("panicked"), "{stderr}");
        let code = output.status.code().unwrap_or_else(|| panic!("ended by {}: {stderr}", output.status));
        Self { code, stdout, stderr }
    }

    /// Asserts the exit code and returns all output.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Asserts that the command rejected its input and that the output contains all `words`.
    #[track_caller]
    pub(crate) fn refuses(&self, words: &[&str]) {
        self.says(if self.code == 1 { 1 } else { 2 }, words);
    }

    /// Asserts the exit code and that the output contains all `words`.
    #[track_caller]
    pub(crate) fn says(&self, code: i32, words: &[&str]) {
        let said = self.ends(code);
        for word in words {
            assert!(said.contains(word), "expected {word:?} in: {said}");
        }
    }
}

/// Returns a command for the program.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_heatlens"))
}

/// Runs the program to completion. `words` is split at spaces; paths follow.
pub(crate) fn heatlens<P: AsRef<OsStr>>(words: &str, paths: &[P]) -> Run {
    Run::of(&program().args(words.split_whitespace()).args(paths).output().unwrap())
}

/// Trains on `data`, writing to `out`.
pub(crate) fn train(data: &Path, out: &Path, flags: &str) -> Run {
    heatlens(&format!("train {flags}"), &[data, Path::new("--out"), out])
}

/// Explains `input` with `model`, writing to `out`.
pub(crate) fn explain(model: &Path, input: &Path, out: &Path, flags: &str) -> Run {
    heatlens(&format!("explain {flags}"), &[model, input, Path::new("--out"), out])
}

/// Settings that learn the stripes in a second.
pub(crate) const QUICK: &str = "--recipe keras-two-class --epochs 30 --patience 0 --batch-size 16 \
                                --learning-rate 0.01 --validation-split 0.3";

/// Settings that hardly train but write a model.
pub(crate) const BARELY: &str =
    "--recipe keras-two-class --epochs 1 --batch-size 16 --learning-rate 0.01 --validation-split 0.3";

/// Returns a pseudo-random number from 0 to 1 (a step of splitmix64).
pub(crate) fn noise(seed: u64) -> f32 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
}

/// Returns image `n`: stripes of class 0 (horizontal) or 1 (vertical), or a checkerboard (2), with noise.
pub(crate) fn stripes(n: usize, class: usize) -> Vec<f32> {
    let phase = n / 7 % 4;
    let pixel = |i: usize| {
        let (y, x) = (i / SIDE + phase, i % SIDE + phase);
        let on = match class {
            0 => y / 2 % 2 == 0,
            1 => x / 2 % 2 == 0,
            _ => (y / 2 + x / 2) % 2 == 0,
        };
        0.7 * f32::from(u8::from(on)) + 0.3 * noise((n * SIDE * SIDE + i) as u64)
    };
    (0..SIDE * SIDE).map(pixel).collect()
}

/// Writes `X` (N×16×16) and `y` as an archive.
pub(crate) fn save_npz(path: &Path, images: &[Vec<f32>], labels: &[usize]) {
    let mut file = NpzWriter::create(path).unwrap();
    for image in images {
        file.push("X", &[SIDE, SIDE], image).unwrap();
    }
    for &label in labels {
        file.push_integers("y", &[], &[label as i64]).unwrap();
    }
    file.finish().unwrap();
}

/// Writes an archive of images, with classes in rotation.
pub(crate) fn stripes_npz(path: &Path, count: usize, classes: usize) {
    let labels: Vec<usize> = (0..count).map(|n| n % classes).collect();
    let images: Vec<Vec<f32>> = labels.iter().enumerate().map(|(n, &class)| stripes(n, class)).collect();
    save_npz(path, &images, &labels);
}

/// Writes f32 values as an `.npy` file.
pub(crate) fn save_npy(path: &Path, shape: &[usize], values: &[f32]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, npy_bytes(shape, values)).unwrap();
}

/// Writes an array of bytes as an `.npy` file.
pub(crate) fn save_bytes(path: &Path, shape: &[usize], values: &[u8]) {
    let sizes: Vec<String> = shape.iter().map(|size| format!("{size},")).collect();
    let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({}), }}\n", sizes.concat());
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), values].concat()).unwrap();
}

/// Returns stripes as 8-bit pixels.
pub(crate) fn bytes(n: usize, class: usize) -> Vec<u8> {
    stripes(n, class).iter().map(|v| (v * 255.0) as u8).collect()
}

/// Writes stripes as a greyscale PNG file.
pub(crate) fn save_png(path: &Path, n: usize, class: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_raw(SIDE as u32, SIDE as u32, bytes(n, class)).unwrap().save(path).unwrap();
}

/// Creates a folder with one subfolder of `each` PNG files per class.
pub(crate) fn class_folder(folder: &Path, classes: &[&str], each: usize) {
    for (class, name) in classes.iter().enumerate() {
        for n in 0..each {
            save_png(&folder.join(name).join(format!("{n:03}.png")), n, class);
        }
    }
}

/// A test folder with a data archive and a model trained on it for one epoch.
pub(crate) struct Trained {
    pub(crate) folder: TempDir,
    pub(crate) data: PathBuf,
    pub(crate) model: PathBuf,
}

impl Trained {
    pub(crate) fn new(classes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, run) = (folder.path().join("data.npz"), folder.path().join("run"));
        stripes_npz(&data, 36, classes);
        train(&data, &run, BARELY).ends(0);
        Self { data, model: run.join("model.onnx"), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Returns all files below a folder, by relative path.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

/// Returns the lines of a manifest, each of which must be complete and valid.
pub(crate) fn manifest(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("manifest.jsonl")).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is cut: {text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Reads a JSON file.
pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Reads the arrays of an uncompressed archive: shape and values, with 64-bit integers converted to floats.
pub(crate) fn arrays(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f64>)> {
    let bytes = fs::read(path).unwrap();
    let word =
        |at: usize, n: usize| bytes[at..at + n].iter().rev().fold(0, |sum, &b| sum << 8 | usize::from(b));
    // Zip: the central directory at the end lists the arrays and the positions of their local headers.
    let end = bytes.windows(4).rposition(|four| four == b"PK\x05\x06").unwrap();
    let (count, mut at) = (word(end + 10, 2), word(end + 16, 4));
    let mut found = BTreeMap::new();
    for _ in 0..count {
        let (name_len, extra, comment) = (word(at + 28, 2), word(at + 30, 2), word(at + 32, 2));
        let name = std::str::from_utf8(&bytes[at + 46..at + 46 + name_len]).unwrap();
        let (size, local) = (word(at + 24, 4), word(at + 42, 4));
        let start = local + 30 + word(local + 26, 2) + word(local + 28, 2);
        found.insert(name.trim_end_matches(".npy").to_owned(), npy(&bytes[start..start + size]));
        at += 46 + name_len + extra + comment;
    }
    found
}

fn npy(bytes: &[u8]) -> (Vec<usize>, Vec<f64>) {
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..data]).unwrap();
    let inside = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let shape = inside.split(',').filter_map(|size| size.trim().parse().ok()).collect();
    let values = if header.contains("'<f4'") {
        bytes[data..].chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
    } else if header.contains("'<f2'") {
        bytes[data..].chunks(2).map(|b| half(u16::from_le_bytes(b.try_into().unwrap()))).collect()
    } else {
        assert!(header.contains("'<i8'"), "{header}");
        bytes[data..].chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect()
    };
    (shape, values)
}

/// Converts a 16-bit float: sign, five bits of exponent, ten of fraction.
fn half(bits: u16) -> f64 {
    let (sign, exponent) = (if bits >> 15 == 1 { -1.0 } else { 1.0 }, i32::from(bits >> 10 & 31));
    let fraction = f64::from(bits & 1023) / 1024.0;
    match exponent {
        0 => sign * fraction * 2.0_f64.powi(-14),
        31 => f64::NAN,
        _ => sign * (1.0 + fraction) * 2.0_f64.powi(exponent - 15),
    }
}

/// Returns the numbers in the columns of a table whose names start with `prefix`, row by row.
pub(crate) fn columns(csv: &str, prefix: &str) -> Vec<f64> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let wanted = |k: usize| header.get(k).is_some_and(|name| name.starts_with(prefix));
    lines
        .flat_map(|line| {
            line.split(',').enumerate().filter(|(k, _)| wanted(*k)).map(|(_, v)| v.parse().unwrap())
        })
        .collect()
}
