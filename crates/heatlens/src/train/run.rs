//! A training run in a folder: from data and a recipe to a model, its history and a verdict.
//!
//! [`Source`] locates the images. [`TrainingPlan`] reads them, holds some out and determines all settings; nothing is
//! written before [`TrainingPlan::begin`]. [`train`] then writes to the folder `run.json` (the inputs of the run),
//! `checkpoint.safetensors`, `history.csv`, `timing.csv`, `model.onnx`, `metrics.json` and `learning_curve.png`. An
//! interrupted run resumes after its last complete epoch and ends with the same bytes, except for `timing.csv`.

mod record;
mod timing;
mod words;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::data::{DataError, OpenOptions, SplitFolders, open_training};
use crate::run::{FolderLock, Monitor, RunError, RunOptions, RunState, check_apart, prepare};
use crate::train::advice::Advice;
use crate::train::fit::{Ending, Observer, Trainer, TrainingSettings};
use crate::train::history::History;
use crate::train::recipe::{Choices, RECIPES, Recipe};
use crate::train::report::TrainingReport;
use crate::train::{TrainError, TrainingSet};

/// Paths of the training and validation images.
#[derive(Clone, Debug)]
pub struct Source {
    /// Training images.
    pub train: PathBuf,
    /// Validation images; if not given, some of the training images are held out.
    pub validation: Option<PathBuf>,
    /// All parts of a folder that the user has split.
    pub split: Option<SplitFolders>,
}

impl Source {
    /// Finds the parts of `data` if it is a folder that the user has split. `validation` overrides its validation
    /// part.
    ///
    /// # Errors
    /// As [`SplitFolders::find`].
    pub fn find(data: &Path, validation: Option<&Path>) -> Result<Self, DataError> {
        let split = SplitFolders::find(data)?;
        let train = split.as_ref().map_or(data, |split| split.train.as_path());
        let part = split.as_ref().and_then(|split| split.validation.as_deref());
        let validation = validation.or(part).map(Path::to_owned);
        Ok(Self { train: train.to_owned(), validation, split })
    }
}

/// A run before its first step: images in memory, and all settings.
#[derive(Clone, Debug)]
pub struct TrainingPlan {
    /// The images, and the split.
    pub set: TrainingSet,
    /// Training settings.
    pub settings: TrainingSettings,
    /// Height and width of the first image file, if the images are files.
    pub original: Option<[usize; 2]>,
    /// Share of the images that the recipe holds out, from 0 to less than 1.
    held_out: f64,
    /// Options for opening further data for the same model.
    like: OpenOptions,
    /// Paths that were read.
    inputs: Vec<PathBuf>,
}

impl TrainingPlan {
    /// Reads all images and determines the settings that `choices` leave to the recipe. `open` specifies how images
    /// are read; without a size, the recipe may limit it. `monitor` is notified immediately of assumptions,
    /// omissions and unreadable images.
    ///
    /// # Errors
    /// If data cannot be opened, need too much memory, cannot be split, or differ from the validation data in shape
    /// or classes. An unreadable image is not an error; see [`TrainingSet::broken`].
    pub fn new(
        source: &Source,
        open: &OpenOptions,
        recipe: &Recipe,
        choices: &Choices,
        monitor: &dyn Monitor,
    ) -> Result<Self, TrainError> {
        let open = OpenOptions { max_pixels: recipe.max_pixels, ..open.clone() };
        let data = open_training(&source.train, &open)?;
        monitor.notes(&data.notes());
        let original = (0..data.len()).find_map(|item| data.original_size(item).ok());
        let like = OpenOptions {
            preprocessing: Some(data.preprocessing().clone()),
            class_names: Some(data.class_names().to_vec()),
            numbers: open.numbers,
            layout: open.layout,
            ..OpenOptions::default()
        };
        let set = match &source.validation {
            Some(path) => {
                let validation = open_training(path, &like)?;
                monitor.notes(&validation.notes());
                TrainingSet::with_validation(data.as_ref(), validation.as_ref())?
            }
            None => {
                TrainingSet::split_by(data.as_ref(), |counts| recipe.split(choices, counts), choices.seed)?
            }
        };
        set.broken.iter().for_each(|(input, reason)| monitor.broken(input, reason));
        let settings = recipe.settings(choices, &set.class_counts(), set.validation.len())?;
        let (_, held_out) = recipe.split(choices, &set.counts());
        let inputs = std::iter::once(&source.train).chain(&source.validation).cloned().collect();
        Ok(Self { set, settings, original, held_out, like, inputs })
    }

    /// Returns the options for opening data that the trained model is to explain.
    #[must_use]
    pub fn open_options(&self) -> OpenOptions {
        self.like.clone()
    }

    /// Claims the folder `options.out` for this run and writes its inputs; the files of an earlier run are removed.
    /// With `resume`, the run in the folder must have the same images and settings. `given` are the user's choices
    /// other than the settings, such as paths and sizes.
    ///
    /// # Errors
    /// If the folder is not writable or lies among the images, or there is no matching run to resume.
    pub fn begin(&self, options: &RunOptions, given: Map<String, Value>) -> Result<FolderLock, RunError> {
        let out = &options.out;
        check_apart(out, &self.inputs)?;
        let settings = record::settings(&self.settings, self.held_out, given);
        let state = RunState::of_training(settings, &self.set, &options.command);
        if options.resume {
            return state.resume(out);
        }
        let lock = prepare(out, options.force)?;
        record::discard(out)?;
        state.write(out)?;
        Ok(lock)
    }

    /// Returns advice if the run did not learn.
    ///
    /// # Errors
    /// If the default recipe names an unknown network.
    pub fn advice(&self, finished: &Finished) -> Result<Option<Advice>, TrainError> {
        let set = &self.set;
        let usual = RECIPES[0].settings(&Choices::default(), &set.class_counts(), set.validation.len())?;
        let Finished { report, history } = finished;
        Ok(Advice::after(report, history, set, &self.settings, &usual, self.original))
    }
}

/// Results of a run.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Outcome of the run, and the verdict on the model.
    pub report: TrainingReport,
    /// All epochs.
    pub history: History,
}

/// Trains in the folder `out`, which must exist, and judges the model; with `resume`, continues from the checkpoint
/// there, if there is one. `None` if the observer stopped it before the end of the first epoch.
///
/// # Errors
/// If the settings are invalid, the checkpoint belongs to another run, training diverges, or a file cannot be
/// written.
pub fn train(
    settings: TrainingSettings,
    set: &TrainingSet,
    out: &Path,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Option<Finished>, TrainError> {
    let keep_best = settings.keep_best;
    let mut timed = timing::Timed::new(observer, out, resume)?;
    let mut trainer = match resume && out.join("checkpoint.safetensors").exists() {
        true => Trainer::resume(settings, set, out)?,
        false => Trainer::new(settings, set, out)?,
    };
    let ending = trainer.run(&mut timed)?;
    timed.finish()?;
    if ending == Ending::Interrupted && trainer.history().records.is_empty() {
        return Ok(None);
    }
    let report = TrainingReport::write(&trainer, set, ending, keep_best, out)?;
    Ok(Some(Finished { report, history: trainer.history().clone() }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::data::npy_bytes;
    use crate::run::NoMonitor;
    use crate::train::history::EpochRecord;
    use crate::train::recipe;

    /// Stops after a number of steps, and counts epochs.
    struct Stops(usize, usize);

    impl Observer for Stops {
        fn step(&mut self, _: u64, _: usize, _: usize) -> bool {
            self.0 = self.0.saturating_sub(1);
            self.0 > 0
        }

        fn epoch(&mut self, _: &EpochRecord) {
            self.1 += 1;
        }
    }

    /// Twelve images of 12×12, every other one bright.
    fn images(folder: &Path) -> PathBuf {
        let pixels: Vec<f32> = (0..12 * 144).map(|i| f32::from(u8::from(i / 144 % 2 == 1))).collect();
        fs::write(folder.join("X.npy"), npy_bytes(&[12, 12, 12], &pixels)).unwrap();
        let labels: Vec<f32> = (0..12).map(|i| f32::from(u8::from(i % 2 == 1))).collect();
        fs::write(folder.join("y.npy"), npy_bytes(&[12], &labels)).unwrap();
        folder.join("X.npy")
    }

    fn plan(data: &Path, batch_size: usize) -> TrainingPlan {
        let choices = Choices { epochs: Some(2), batch_size: Some(batch_size), ..Choices::default() };
        let recipe = recipe::find("keras-two-class").unwrap();
        let source = Source::find(data, Some(data)).unwrap();
        TrainingPlan::new(&source, &OpenOptions::default(), recipe, &choices, &NoMonitor).unwrap()
    }

    #[test]
    fn a_run_leaves_its_files_and_goes_on_only_as_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(&images(folder.path()), 4);
        assert_eq!((plan.set.train.len(), plan.set.validation.len()), (12, 12));
        assert_eq!(plan.images_in_words(), "12 images of 1×12×12 to train on (6 of 0, 6 of 1), 12 held out");
        let out = folder.path().join("run");
        let options = |resume| RunOptions { out: out.clone(), resume, force: true, ..RunOptions::default() };
        let none = plan.begin(&options(true), Map::new()).unwrap_err().to_string();
        assert!(none.contains("no unfinished run to resume"), "{none}");
        fs::create_dir(&out).unwrap();
        fs::write(out.join("model.onnx"), "of an earlier run").unwrap();
        drop(plan.begin(&options(false), Map::new()).unwrap());
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);

        let run = |resume, steps| {
            let mut observer = Stops(steps, 0);
            let finished = train(plan.settings.clone(), &plan.set, &out, resume, &mut observer).unwrap();
            (finished, observer.1)
        };
        assert!(run(false, 2).0.is_none(), "stopped in the first epoch");
        let (stopped, epochs) = run(true, 5);
        assert_eq!((stopped.unwrap().report.ending, epochs), (Ending::Interrupted, 1));
        drop(plan.begin(&options(true), Map::new()).unwrap());
        let (finished, epochs) = run(true, 99);
        assert_eq!((finished.unwrap().history.records.len(), epochs), (2, 1));
        let timing = fs::read_to_string(out.join("timing.csv")).unwrap();
        assert_eq!(
            timing.lines().map(|l| l.split(',').next().unwrap()).collect::<Vec<_>>(),
            ["epoch", "1", "2"]
        );
        assert_eq!(fs::read_dir(&out).unwrap().count(), 7);
        record::discard(&out).unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "run.json is left");
        let other = super::tests::plan(&folder.path().join("X.npy"), 3);
        let refused = other
            .begin(&options(true), Map::from_iter([("size".to_owned(), json!(12))]))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(
                "started with other settings: batch_size was 4, is now 3; size was null, is now 12;"
            ),
            "{refused}"
        );
    }

    #[test]
    fn given_validation_data_come_before_those_of_a_split_folder() {
        let folder = tempfile::tempdir().unwrap();
        for part in ["train/a", "train/b", "val/a"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        let found = Source::find(folder.path(), None).unwrap();
        assert_eq!(found.train, folder.path().join("train"));
        assert_eq!(found.validation, Some(folder.path().join("val")));
        let given = Source::find(folder.path(), Some(Path::new("other"))).unwrap();
        assert_eq!(given.validation.as_deref(), Some(Path::new("other")));
        let whole = Source::find(&folder.path().join("train"), None).unwrap();
        assert!(whole.split.is_none() && whole.validation.is_none());
    }
}
