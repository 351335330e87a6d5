//! The demo keeps its promises: the model separates the classes, and the heat falls on the object.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may fail where it stands

mod common;

use heatlens::data::{OpenOptions, Split, open_training};
use heatlens::demo::{VALIDATION, localise, settings, write_data};
use heatlens::method::{METHODS, Work};
use heatlens::train::TrainingSet;
use heatlens::train::fit::{Ending, Observer, Trainer};
use heatlens::train::history::Record;

struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: u64, _: usize, _: usize) -> bool {
        true
    }

    fn epoch(&mut self, _: &Record) {}
}

#[test]
fn the_model_finds_the_ring() {
    let folder = tempfile::tempdir().unwrap();
    let (folders, images) = write_data(&folder.path().join("data"), 0).unwrap();
    let grey = OpenOptions { channels: Some(1), ..OpenOptions::default() };
    let data = open_training(&folders.train, &grey).unwrap();
    let set = TrainingSet::new(data.as_ref(), Split::Stratified, VALIDATION, 0).unwrap();
    let mut trainer = Trainer::new(settings(0).unwrap(), &set, folder.path()).unwrap();
    assert_eq!(trainer.run(&mut Silent).unwrap(), Ending::Finished);
    let kept = &trainer.history().records[trainer.kept_epoch() as usize - 1];
    assert!(kept.val_accuracy.unwrap() >= 0.95, "{kept:?}");
    let rows = localise(&trainer.model().unwrap(), &images).unwrap();
    // Every formula but the two that need a transformer.
    let formulas = METHODS.iter().filter(|m| matches!(m.work, Work::Graph(_))).count();
    assert_eq!(rows.len(), formulas - 2);
    assert!(rows.iter().all(|row| row.share.is_finite()));
    for id in ["cam", "grad_cam"] {
        let row = rows.iter().find(|r| r.method.id == id).unwrap();
        assert!(row.ratio() >= 3.0, "{id}: {:.2} times chance", row.ratio());
    }
}
