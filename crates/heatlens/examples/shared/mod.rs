//! Data for examples that are run without arguments: images of discs and crosses, some with a ring, and a small
//! model trained to find the ring.

#![allow(dead_code)] // each example uses a part

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use heatlens::Image;
use heatlens::data::{OpenOptions, Split, open_training};
use heatlens::demo::settings;
use heatlens::demo_data::{CLASS_NAMES, SIDE, generate};
use heatlens::render::save_png;
use heatlens::train::TrainingSet;
use heatlens::train::fit::{Trainer, TrainingSettings};

/// Number of training images: few, so that an example takes seconds. The model is far from perfect.
const IMAGES: usize = 240;

/// Creates the folder of an example.
pub(crate) fn folder(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("heatlens-example-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Writes images to one folder per class.
pub(crate) fn images(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let images = folder.join("images");
    for class in CLASS_NAMES {
        fs::create_dir_all(images.join(class))?;
    }
    for (number, image) in generate(IMAGES, 0).into_iter().enumerate() {
        let picture = Image::from_bytes([SIDE, SIDE, 1], &image.pixels)?.to_picture(0.0, 1.0);
        save_png(&picture, images.join(CLASS_NAMES[image.label]).join(format!("{number:04}.png")))?;
    }
    Ok(images)
}

/// Returns an image with a ring.
pub(crate) fn image(images: &Path) -> PathBuf {
    images.join(CLASS_NAMES[1]).join("0001.png")
}

/// Trains a model on the images.
pub(crate) fn model(folder: &Path, images: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let data = open_training(images, &OpenOptions::default())?;
    let set = TrainingSet::new(data.as_ref(), Split::Stratified, 0.1, 0)?;
    let settings = TrainingSettings { epochs: 4, ..settings(0).ok_or("the demo's network is missing")? };
    Trainer::new(settings, &set, folder)?.run(&mut ())?;
    Ok(folder.join("model.onnx"))
}
