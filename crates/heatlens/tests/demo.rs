//! Tests of the demo: the model separates the classes, and the heat falls on the object.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

mod common;

use std::path::Path;

use heatlens::data::{Dataset, NpzWriter, OpenOptions, Split, open_training};
use heatlens::dataset::border_region::Edge;
use heatlens::dataset::{BorderRegion, DatasetFindings, Observations, RegionTester};
use heatlens::demo::{VALIDATION, localise, settings, write_data};
use heatlens::demo_data::{DemoImage, SIDE, generate};
use heatlens::explain::{ExplainOptions, Explainer};
use heatlens::method::{METHODS, Work, find};
use heatlens::model::Model;
use heatlens::train::TrainingSet;
use heatlens::train::fit::{Ending, Trainer, TrainingSettings};

/// Analyses where the model looks across images, and on which regions it depends.
fn look(model: &Model, images: &[DemoImage]) -> DatasetFindings {
    let explainer = Explainer::new(model, &ExplainOptions::new(&[find("grad_cam").unwrap()])).unwrap();
    let mut seen = Observations::default();
    for (item, image) in images.iter().enumerate() {
        let explanation = explainer.explain(&image.to_f32(), 1).unwrap().remove(0);
        seen.push(item, Some(image.label), &explanation);
    }
    let folder = tempfile::tempdir().unwrap();
    let data = stored(images, folder.path());
    let mut found = DatasetFindings::of(&seen, 0);
    found.try_out(&seen, &RegionTester::new(model, data.as_ref()).unwrap()).unwrap();
    found
}

/// Stores images as a data set in a folder.
fn stored(images: &[DemoImage], folder: &Path) -> Box<dyn Dataset> {
    let path = folder.join("data.npz");
    let mut file = NpzWriter::create(&path).unwrap();
    for image in images {
        file.push("X", &[SIDE, SIDE], &image.to_f32()).unwrap();
        file.push_integers("y", &[], &[image.label as i64]).unwrap();
    }
    file.finish().unwrap();
    open_training(&path, &OpenOptions::default()).unwrap()
}

/// Draws a ruler along the left or the bottom edge of every image of a class.
fn ruler(images: &mut [DemoImage], class: usize, bottom: bool) {
    for image in images.iter_mut().filter(|image| image.label == class) {
        for (along, across) in
            (1..SIDE).step_by(4).flat_map(|along| (0..4).map(move |across| (along, across)))
        {
            let at = if bottom { (SIDE - 1 - across) * SIDE + along } else { along * SIDE + across };
            image.pixels[at] = 210;
        }
    }
}

/// Trains a network on images in memory.
fn trained(images: &[DemoImage], seed: u64, network: TrainingSettings) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let data = stored(images, folder.path());
    let set = TrainingSet::new(data.as_ref(), Split::Stratified, 0.1, seed).unwrap();
    let mut trainer = Trainer::new(network, &set, folder.path()).unwrap();
    trainer.run(&mut ()).unwrap();
    trainer.model().unwrap()
}

/// Returns the classes and regions flagged in a data set in which one class has a ruler.
fn named_with_a_ruler(seed: u64, class: usize, bottom: bool) -> Vec<(usize, BorderRegion)> {
    let mut images = generate(480, seed);
    ruler(&mut images, class, bottom);
    let settings = TrainingSettings { epochs: 6, batch_size: 16, ..settings(seed).unwrap() };
    let model = trained(&images, seed, settings);
    let mut unseen = generate(160, seed + 10);
    ruler(&mut unseen, class, bottom);
    look(&model, &unseen).shortcuts().map(|(c, _, s)| (c.class, s.place)).collect()
}

#[test]
fn a_planted_ruler_is_named() {
    for (seed, class, bottom) in [(0, 1, false), (1, 0, true)] {
        let edge = if bottom { Edge::Bottom } else { Edge::Left };
        let named = named_with_a_ruler(seed, class, bottom);
        assert_eq!(named, [(class, BorderRegion::Strip(edge))], "seed {seed}");
    }
}

/// Enough runs for a table: docs/dataset.md.
#[test]
#[ignore = "minutes; run with --release -- --ignored --nocapture"]
fn many_shortcuts_are_named_and_clean_data_are_not() {
    let (mut missed, mut wrong) = (Vec::new(), Vec::new());
    for seed in 100..110 {
        let (class, bottom) = ((seed % 2) as usize, seed % 4 < 2);
        let edge = if bottom { Edge::Bottom } else { Edge::Left };
        let named = named_with_a_ruler(seed, class, bottom);
        println!("seed {seed}, ruler {edge:?} in class {class}: {named:?}");
        if named.iter().all(|(c, place)| *c != class || *place != BorderRegion::Strip(edge)) {
            missed.push(seed);
        }
        wrong.extend(named.iter().filter(|(c, _)| *c != class).map(|n| (seed, *n)));
        // A network that learns the ring, which may be anywhere.
        let network = TrainingSettings {
            architecture: heatlens::train::arch::find("gap-cnn-bn").unwrap(),
            epochs: 6,
            ..settings(seed).unwrap()
        };
        let model = trained(&generate(900, seed), seed, network);
        let clean = look(&model, &generate(160, seed + 1000));
        wrong.extend(clean.shortcuts().map(|(c, _, s)| (seed, (c.class, s.place))));
        let named: Vec<_> = clean.shortcuts().map(|(c, _, s)| (c.class, s.place)).collect();
        println!("seed {seed}, clean: {named:?}");
    }
    assert!(missed.is_empty() && wrong.is_empty(), "missed {missed:?}, wrongly flagged {wrong:?}");
}

#[test]
fn the_model_finds_the_ring() {
    let folder = tempfile::tempdir().unwrap();
    let (folders, images) = write_data(&folder.path().join("data"), 0).unwrap();
    let grey = OpenOptions { channels: Some(1), ..OpenOptions::default() };
    let data = open_training(&folders.train, &grey).unwrap();
    let set = TrainingSet::new(data.as_ref(), Split::Stratified, VALIDATION, 0).unwrap();
    // Half of the demo's epochs reach the accuracy asked for below.
    let network = TrainingSettings { epochs: 40, ..settings(0).unwrap() };
    let mut trainer = Trainer::new(network, &set, folder.path()).unwrap();
    assert_eq!(trainer.run(&mut ()).unwrap(), Ending::Finished);
    let kept = &trainer.history().records[trainer.kept_epoch() as usize - 1];
    assert!(kept.val_accuracy.unwrap() >= 0.95, "{kept:?}");
    let rows = localise(&trainer.model().unwrap(), &images).unwrap();
    // Every formula except the two that need a transformer.
    let formulas = METHODS.iter().filter(|m| matches!(m.work, Work::Graph(_))).count();
    assert_eq!(rows.len(), formulas - 2);
    assert!(rows.iter().all(|row| row.share.is_finite()));
    for id in ["cam", "grad_cam"] {
        let row = rows.iter().find(|r| r.method.id == id).unwrap();
        assert!(row.ratio() >= 3.0, "{id}: {:.2} times chance", row.ratio());
    }
    // The ring may be anywhere, so no region gives it away.
    let clean = look(&trainer.model().unwrap(), &generate(300, 1));
    let flagged: Vec<_> = clean.shortcuts().map(|(_, _, shortcut)| shortcut.clone()).collect();
    assert!(flagged.is_empty(), "{flagged:?}");
}
