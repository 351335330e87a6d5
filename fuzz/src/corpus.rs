//! Valid files used as starting points.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use heatlens::data::npy_bytes;
use heatlens::export::{ExplanationOutput, with_explanation};
use heatlens::method;
use heatlens::model::Model;
use heatlens::train::arch;
use image::{DynamicImage, ImageFormat};

use crate::zip;

/// Format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Format {
    Onnx,
    Keras,
    Npy,
    Npz,
    Picture,
}

/// A valid file.
#[derive(Clone, Debug)]
pub struct Sample {
    /// File name.
    pub name: String,
    /// Format.
    pub format: Format,
    /// Content.
    pub bytes: Vec<u8>,
}

fn sample(name: &str, format: Format, bytes: Vec<u8>) -> Sample {
    Sample { name: name.to_owned(), format, bytes }
}

/// Returns small files of every format: the committed samples below `root`, and some generated here.
pub fn samples(root: &Path) -> Vec<Sample> {
    let mut all = Vec::new();
    below(&root.join("crates"), &mut all);
    all.sort_by(|a: &Sample, b| a.name.cmp(&b.name));
    all.extend(own_models());
    all.extend(arrays());
    all.extend(pictures());
    all
}

fn below(folder: &Path, all: &mut Vec<Sample>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            below(&path, all);
            continue;
        }
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let format = match path.extension().and_then(|e| e.to_str()) {
            Some("onnx") => Format::Onnx,
            Some("keras" | "h5") => Format::Keras,
            _ => continue,
        };
        if let Some(bytes) = fs::read(&path).ok().filter(|b| b.len() < 200_000) {
            all.push(sample(&name, format, bytes));
        }
    }
}

fn own_models() -> Vec<Sample> {
    let mut all = Vec::new();
    for name in ["gap-cnn", "gap-cnn-bn"] {
        let network = arch::find(name).and_then(|arch| arch.build([1, 24, 24], 3, 0).ok());
        let Some(model) = network.and_then(|n| Model::from_graph(n).ok()) else { continue };
        all.extend(model.to_onnx().ok().map(|file| sample(name, Format::Onnx, file)));
        let explained = method::find("grad_cam").ok();
        let explained = explained.and_then(|m| with_explanation(&model, &ExplanationOutput::new(m)).ok());
        all.extend(explained.map(|file| sample(name, Format::Onnx, file)));
    }
    all
}

fn arrays() -> Vec<Sample> {
    let x = npy_bytes(&[4, 8, 8], &[0.5; 256]);
    let y = npy_bytes(&[4], &[0.0, 1.0, 0.0, 1.0]);
    let colour = npy_bytes(&[2, 3, 4, 4], &[0.25; 96]);
    let npz = zip::pack(&[("X.npy".to_owned(), x.clone()), ("y.npy".to_owned(), y)], 0);
    vec![
        sample("x.npy", Format::Npy, x),
        sample("colour.npy", Format::Npy, colour),
        sample("data.npz", Format::Npz, npz),
    ]
}

fn pictures() -> Vec<Sample> {
    let grey = DynamicImage::new_luma8(9, 7);
    let colour = DynamicImage::new_rgb8(8, 8);
    let deep = DynamicImage::new_luma16(5, 6);
    let clear = DynamicImage::new_rgba16(6, 5);
    let formats = [
        (ImageFormat::Png, "png"),
        (ImageFormat::Jpeg, "jpg"),
        (ImageFormat::Tiff, "tif"),
        (ImageFormat::Bmp, "bmp"),
        (ImageFormat::WebP, "webp"),
    ];
    let mut all = Vec::new();
    for (picture, what) in [(grey, "grey"), (colour, "colour"), (deep, "deep"), (clear, "clear")] {
        for (format, ending) in formats {
            let mut bytes = Cursor::new(Vec::new());
            if picture.write_to(&mut bytes, format).is_ok() {
                all.push(sample(&format!("{what}.{ending}"), Format::Picture, bytes.into_inner()));
            }
        }
    }
    all
}
