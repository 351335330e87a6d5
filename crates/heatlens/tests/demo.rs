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
use heatlens::predict::Predictor;
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

/// Something drawn into the images of one class that gives the class away.
#[derive(Clone, Copy, Debug)]
enum Planted {
    /// A ruler along an edge.
    Ruler(Edge),
    /// A white square of 4×4 pixels in the top left or the top right corner.
    Mark(Edge),
}

impl Planted {
    /// Returns the value of a pixel that belongs to it.
    fn covers(self, y: usize, x: usize) -> bool {
        let far = SIDE - 1;
        match self {
            Self::Ruler(edge) => {
                let [along, across] = match edge {
                    Edge::Left => [y, x],
                    Edge::Right => [y, far - x],
                    Edge::Top => [x, y],
                    Edge::Bottom => [x, far - y],
                };
                across < 4 && along % 4 == 1
            }
            Self::Mark(side) => {
                let x = if side == Edge::Left { x } else { far - x };
                (2..6).contains(&y) && (2..6).contains(&x)
            }
        }
    }

    fn draw(self, image: &mut DemoImage) {
        let grey = if matches!(self, Self::Ruler(_)) { 210 } else { 255 };
        for (i, pixel) in image.pixels.iter_mut().enumerate() {
            if self.covers(i / SIDE, i % SIDE) {
                *pixel = grey;
            }
        }
    }

    /// Returns true if a region has a part of it.
    fn meets(self, place: BorderRegion) -> bool {
        let [top, left, height, width] =
            place.rectangle().map(|share| (share * SIDE as f64).round() as usize);
        (top..top + height).any(|y| (left..left + width).any(|x| self.covers(y, x)))
    }
}

/// Draws something into an evenly spread share of the images of a class, and returns their indices.
fn plant(images: &mut [DemoImage], class: usize, planted: Planted, share: f64) -> Vec<usize> {
    let of_class = (0..images.len()).filter(|&i| images[i].label == class);
    let before = |k: usize| (k as f64 * share) as usize;
    let chosen: Vec<usize> =
        of_class.enumerate().filter(|&(k, _)| before(k + 1) > before(k)).map(|(_, i)| i).collect();
    chosen.iter().for_each(|&i| planted.draw(&mut images[i]));
    chosen
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
fn named_with_a_ruler(seed: u64, class: usize, edge: Edge) -> Vec<(usize, BorderRegion)> {
    let mut images = generate(480, seed);
    plant(&mut images, class, Planted::Ruler(edge), 1.0);
    let settings = TrainingSettings { epochs: 6, batch_size: 16, ..settings(seed).unwrap() };
    let model = trained(&images, seed, settings);
    let mut unseen = generate(160, seed + 10);
    plant(&mut unseen, class, Planted::Ruler(edge), 1.0);
    look(&model, &unseen).shortcuts().map(|(c, _, s)| (c.class, s.place)).collect()
}

#[test]
fn a_planted_ruler_is_named() {
    for (seed, class, edge) in [(0, 1, Edge::Left), (1, 0, Edge::Bottom)] {
        let named = named_with_a_ruler(seed, class, edge);
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
        let named = named_with_a_ruler(seed, class, edge);
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

/// Predicted classes of images.
fn predicted(model: &Model, images: &[DemoImage]) -> Vec<usize> {
    let pixels: Vec<f32> = images.iter().flat_map(DemoImage::to_f32).collect();
    let logits = Predictor::new(model).unwrap().logits(&pixels, images.len()).unwrap();
    logits.iter().map(|&z| usize::from(z > 0.0)).collect()
}

/// Shortcuts in a part of a class or in all of it, and the same images without them: docs/dataset.md.
#[test]
#[ignore = "minutes; run with --release -- --ignored --nocapture"]
fn shortcuts_in_a_part_of_a_class_are_named() {
    let cases = [
        (1, 1, Planted::Ruler(Edge::Right), 0.5),
        (2, 0, Planted::Mark(Edge::Left), 0.35),
        (3, 0, Planted::Ruler(Edge::Right), 1.0),
        (4, 1, Planted::Mark(Edge::Right), 0.5),
        (5, 1, Planted::Ruler(Edge::Top), 0.35),
        (6, 0, Planted::Mark(Edge::Left), 1.0),
    ];
    let (mut missed, mut wrong) = (Vec::new(), Vec::new());
    for (seed, class, planted, share) in cases {
        let (mut images, plain) = (generate(900, seed), generate(180, seed + 10));
        let settings = TrainingSettings { epochs: 20, batch_size: 16, ..settings(seed).unwrap() };
        let clean = look(&trained(&images, seed, settings.clone()), &plain);
        wrong.extend(clean.shortcuts().map(|(c, _, s)| (seed, c.class, s.place)));
        println!("seed {seed}, clean: {} named", clean.shortcuts().count());

        plant(&mut images, class, planted, share);
        let model = trained(&images, seed, settings);
        let mut unseen = plain.clone();
        let marked = plant(&mut unseen, class, planted, share);
        let [with, without] = [&unseen, &plain].map(|images| predicted(&model, images));
        let right = with.iter().zip(&unseen).filter(|(said, image)| **said == image.label).count();
        let used = marked.iter().filter(|&&i| with[i] == class && without[i] != class).count();
        println!("seed {seed}, {planted:?} in {share} of class {class}: {right} of 180 right,");
        println!("  {used} of {} predictions depend on it", marked.len());
        let found = look(&model, &unseen);
        found.shortcuts().chain(found.habits()).for_each(|(c, _, s)| println!("  class {}: {s:?}", c.class));
        let named = || found.shortcuts().map(|(c, _, s)| (seed, c.class, s.place));
        let right = |&(_, c, place): &(u64, usize, BorderRegion)| c == class && planted.meets(place);
        if !named().any(|place| right(&place)) {
            missed.push(seed);
        }
        wrong.extend(named().filter(|place| !right(place)));
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
