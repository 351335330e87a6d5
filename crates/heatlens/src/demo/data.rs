//! The demo's images as files.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use rayon::prelude::*;

use crate::data::{DataError, NpzWriter, OpenOptions, Split, open_training};
use crate::demo::{IMAGES, SHOWN, VALIDATION};
use crate::demo_data::{CLASS_NAMES, DemoImage, SIDE};
use crate::render::save_png;
use crate::run::RunError;
use crate::train::{TrainError, TrainingSet};

/// Paths of the demo's data.
#[derive(Clone, Debug)]
pub struct DemoFolders {
    /// Training images, in one folder per class.
    pub train: PathBuf,
    /// Archive with `X`, `y` and `mask` of the images to explain.
    pub shown: PathBuf,
}

impl DemoFolders {
    /// Reads the training images, in grey, and holds out some of them.
    ///
    /// # Errors
    /// If an image is missing or cannot be read.
    pub fn read(&self, seed: u64) -> Result<TrainingSet, TrainError> {
        let grey = OpenOptions { channels: Some(1), ..OpenOptions::default() };
        let data = open_training(&self.train, &grey)?;
        TrainingSet::new(data.as_ref(), Split::Stratified, VALIDATION, seed)
    }
}

/// Writes the training images as PNG files in class folders, and the images to explain as one archive that includes the
/// ground truth. Returns the paths and the images to explain.
///
/// # Errors
/// If a file cannot be written.
pub fn write_data(folder: impl AsRef<Path>, seed: u64) -> Result<(DemoFolders, Vec<DemoImage>), RunError> {
    let folder = folder.as_ref();
    let train = folder.join("train");
    for name in CLASS_NAMES {
        let class = train.join(name);
        fs::create_dir_all(&class).map_err(RunError::writing(&class))?;
    }
    (0..IMAGES).into_par_iter().try_for_each(|index| {
        let image = DemoImage::draw(seed, index);
        let file = train.join(CLASS_NAMES[image.label]).join(format!("{index:04}.png"));
        save_png(&picture(&image), &file).map_err(RunError::from)
    })?;
    let images: Vec<DemoImage> = shown_order().map(|index| DemoImage::draw(seed, index)).collect();
    let shown = folder.join("shown.npz");
    write_archive(&shown, &images)?;
    Ok((DemoFolders { train, shown }, images))
}

/// Returns the indices of the images to explain, which follow the training images: two with the object, then one
/// without.
fn shown_order() -> impl Iterator<Item = usize> {
    let with = (0..).map(|i| IMAGES + 2 * i + 1);
    let without = (0..).map(|i| IMAGES + 2 * i);
    let (mut with, mut without) = (with, without);
    (0..SHOWN).filter_map(move |i| if i % 3 == 2 { without.next() } else { with.next() })
}

fn write_archive(path: &Path, images: &[DemoImage]) -> Result<(), DataError> {
    let mut file = NpzWriter::create(path)?;
    for image in images {
        file.push("X", &[SIDE, SIDE], &image.to_f32())?;
        file.push_integers("y", &[], &[i64::from(image.label == 1)])?;
        let mask: Vec<f32> = image.mask.iter().map(|&m| f32::from(u8::from(m))).collect();
        file.push("mask", &[SIDE, SIDE], &mask)?;
    }
    file.finish()
}

fn picture(image: &DemoImage) -> RgbImage {
    #[allow(clippy::cast_possible_truncation)] // a side of 48
    let side = SIDE as u32;
    let mut picture = RgbImage::new(side, side);
    for (pixel, &grey) in picture.pixels_mut().zip(&image.pixels) {
        *pixel = Rgb([grey; 3]);
    }
    picture
}
