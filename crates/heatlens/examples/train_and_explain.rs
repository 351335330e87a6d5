//! Trains a classifier on a folder with one sub-folder per class, evaluates it, and explains an image.
//!
//! ```sh
//! cargo run --release --example train_and_explain -- photos run
//! ```

#![allow(clippy::print_stdout)]

mod shared;

use std::error::Error;
use std::path::PathBuf;

use heatlens::data::{OpenOptions, open_training};
use heatlens::train::TrainingSet;
use heatlens::train::fit::{Observer, Trainer};
use heatlens::train::history::EpochRecord;
use heatlens::train::recipe::{Choices, RECIPES};
use heatlens::train::report::TrainingReport;
use heatlens::{Explainer, Image};

/// Prints a line per epoch.
struct Lines;

impl Observer for Lines {
    fn step(&mut self, _epoch: u64, _step: usize, _steps: usize) -> bool {
        true
    }

    fn epoch(&mut self, record: &EpochRecord) {
        println!("epoch {}: loss {:.4}", record.epoch, record.loss.unwrap_or(f64::NAN));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (images, out, choices) = arguments()?;
    let recipe = &RECIPES[0];
    let options = OpenOptions { max_pixels: recipe.max_pixels, ..OpenOptions::default() };
    let data = open_training(images, &options)?;
    let set = TrainingSet::split_by(data.as_ref(), |counts| recipe.split(&choices, counts), choices.seed)?;
    let settings = recipe.settings(&choices, &set.class_counts(), set.validation.len())?;
    let keep_best = settings.keep_best;

    let mut trainer = Trainer::new(settings, &set, &out)?;
    let ending = trainer.run(&mut Lines)?;
    // The verdict on the held-out images.
    println!("{}", TrainingReport::write(&trainer, &set, ending, keep_best, &out)?.model.judgement);

    let model = trainer.model()?;
    let shown = set.validation.first().copied().unwrap_or(0);
    let image = Image::from_planes(model.shape(), set.image(shown).to_vec())?;
    // Without named methods, those that suit the model are used.
    let explanation = Explainer::builder(&model).build()?.explain_pixels(image)?;
    for heatmap in explanation.heatmaps() {
        heatmap.overlay().save(out.join(format!("{}.png", heatmap.name())))?;
    }
    println!("{}: model and pictures are in {}", explanation.predicted_name(), out.display());
    Ok(())
}

/// Images and folder from the command line, or generated ones.
fn arguments() -> Result<(PathBuf, PathBuf, Choices), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    match (words.next(), words.next()) {
        (Some(images), Some(out)) => {
            std::fs::create_dir_all(&out)?;
            Ok((images, out, Choices::default()))
        }
        (None, _) => {
            let folder = shared::folder("train_and_explain")?;
            let few = Choices { epochs: Some(2), ..Choices::default() };
            Ok((shared::images(&folder)?, folder, few))
        }
        _ => Err("expected IMAGES FOLDER, or nothing".into()),
    }
}
