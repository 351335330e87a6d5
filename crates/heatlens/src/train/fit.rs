//! The training loop.
//!
//! A [`Trainer`] holds all state that changes between epochs; [`Trainer::run`] runs the epochs and writes a
//! checkpoint after each. Results depend only on the settings, the data and the epoch number, so an interrupted and
//! resumed run ends with the same bits as an uninterrupted one.

mod saved;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use heatlens_graph::{Graph, Tensor};
use serde_json::json;

use crate::data::ArrayNumbers;
use crate::model::Model;
use crate::train::arch::Architecture;
use crate::train::augment::Augmentation;
use crate::train::checkpoint::Checkpoint;
use crate::train::class_weight::ClassWeight;
use crate::train::early_stopping::EarlyStopping;
use crate::train::evaluate::Evaluation;
use crate::train::history::{EpochRecord, History};
use crate::train::metric;
use crate::train::optimizer::{Algorithm, Optimizer, Update};
use crate::train::population::PopulationStatistics;
use crate::train::schedule::{Schedule, Scheduler};
use crate::train::shuffle::{batches, epoch_order};
use crate::train::step::{Arrays, StepOutput, TrainableParameter, TrainingStep, parameters};
use crate::train::{TrainError, TrainingSet};

/// Training settings.
#[derive(Clone, Debug)]
pub struct TrainingSettings {
    /// Network architecture.
    pub architecture: &'static Architecture,
    /// Number of passes over the training images.
    pub epochs: u64,
    /// Number of images per step.
    pub batch_size: usize,
    /// Optimizer.
    pub algorithm: Algorithm,
    /// Learning rate before any schedule.
    pub learning_rate: f32,
    /// Learning rate schedule.
    pub schedule: Schedule,
    /// Early stopping, if used.
    pub early_stopping: Option<Stopping>,
    /// Class weights.
    pub class_weight: ClassWeight,
    /// Augmentation of the training images.
    pub augmentation: Augmentation,
    /// True if the order of the images changes in every epoch.
    pub shuffle: bool,
    /// True to save the weights of the best epoch (lowest validation loss, or training loss without validation)
    /// rather than the last.
    pub keep_best: bool,
    /// Seed of weights, order and augmentation.
    pub seed: u64,
}

/// Early stopping rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Stopping {
    /// Monitored metric: a column of `history.csv`.
    pub metric: String,
    /// Number of consecutive epochs without improvement after which training stops; at least 1.
    pub patience: u64,
    /// Minimum improvement, in the metric's unit; 0 or more.
    pub min_delta: f64,
}

impl TrainingSettings {
    /// Checks the settings that are not checked elsewhere.
    fn check(&self) -> Result<(), TrainError> {
        let Self { epochs, batch_size, learning_rate, augmentation, .. } = self;
        let wrong = [
            (*epochs == 0, format!("{epochs} epochs, expected at least 1")),
            (*batch_size == 0, format!("a batch size of {batch_size}, expected at least 1")),
            (
                !(learning_rate.is_finite() && *learning_rate > 0.0),
                format!("a learning rate of {learning_rate}, expected a number above 0"),
            ),
            (
                !(0.0..=1.0).contains(&augmentation.shift),
                format!("a shift of {}, expected a share of the image from 0 to 1", augmentation.shift),
            ),
            (
                !augmentation.rotation.is_finite(),
                format!("a rotation by {}, expected a number of degrees", augmentation.rotation),
            ),
        ];
        match wrong.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, what)) => Err(TrainError::Setting(what)),
            None => Ok(()),
        }
    }
}

/// Observer of the training progress.
pub trait Observer {
    /// Called after each step; returning false stops at once, and the current epoch is repeated on resuming.
    fn step(&mut self, epoch: u64, step: usize, steps: usize) -> bool;
    /// Called after each epoch, when its checkpoint has been written.
    fn epoch(&mut self, record: &EpochRecord);
}

/// Observer that does nothing.
impl Observer for () {
    fn step(&mut self, _: u64, _: usize, _: usize) -> bool {
        true
    }

    fn epoch(&mut self, _: &EpochRecord) {}
}

/// Outcome of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs are complete.
    Finished,
    /// The monitored metric stopped improving.
    EarlyStopped,
    /// The observer requested a stop.
    Interrupted,
}

/// State of a run between epochs.
#[derive(Debug)]
pub struct Trainer<'s> {
    settings: TrainingSettings,
    set: &'s TrainingSet,
    /// Fingerprint of the set, computed on demand.
    fingerprint: OnceLock<String>,
    folder: PathBuf,
    network: Graph,
    parameters: Vec<TrainableParameter>,
    outputs: usize,
    class_weights: Vec<f32>,
    step: TrainingStep,
    scores: Evaluation,
    population: PopulationStatistics,
    arrays: Arrays,
    best: Option<(f64, u64, Arrays)>,
    optimizer: Optimizer,
    scheduler: Scheduler,
    early_stopping: Option<EarlyStopping>,
    history: History,
    ended: bool,
}

/// Number of images per evaluation batch; only memory use depends on it.
const EVALUATION_BATCH: usize = 64;

impl<'s> Trainer<'s> {
    /// Creates a new run that will write to `folder`, which must exist.
    ///
    /// # Errors
    /// If the settings are invalid or the network does not fit the images.
    pub fn new(
        settings: TrainingSettings,
        set: &'s TrainingSet,
        folder: impl AsRef<Path>,
    ) -> Result<Self, TrainError> {
        let folder = folder.as_ref();
        let setting = |e: &dyn std::fmt::Display| TrainError::Setting(e.to_string());
        settings.check()?;
        if set.class_counts().iter().filter(|&&images| images > 0).count() < 2 {
            let what = "expected images of at least two classes to train on";
            return Err(TrainError::Setting(format!(
                "{what}, found {:?} of {:?}",
                set.class_counts(),
                set.class_names
            )));
        }
        let classes = set.class_names.len();
        let network = settings.architecture.build(set.preprocessing.shape(), classes, settings.seed)?;
        let logits = Model::from_graph(network.clone())?.head.logits;
        let parameters = parameters(&network);
        let mut free: Vec<String> = parameters.iter().map(|p| p.name.clone()).collect();
        free.extend(PopulationStatistics::names(&network));
        let schedule = settings.schedule.clone();
        let scheduler =
            Scheduler::new(schedule, settings.learning_rate, settings.epochs).ok_or_else(|| {
                TrainError::Setting("the schedule monitors something that is not a metric".to_owned())
            })?;
        let watch = |Stopping { metric, patience, min_delta }: &Stopping| {
            let unknown = || {
                TrainError::Setting(format!("{metric:?} is not a metric: expected a column of history.csv"))
            };
            EarlyStopping::new(metric, *patience, *min_delta).ok_or_else(unknown)
        };
        Ok(Self {
            step: TrainingStep::new(&network, logits, &parameters)?,
            scores: Evaluation::new(&network, &free, &[logits])?,
            population: PopulationStatistics::new(&network, &free)?,
            arrays: free.iter().filter_map(|name| stored(&network, name)).collect(),
            best: None,
            optimizer: Optimizer::new(settings.algorithm).map_err(|e| setting(&e))?,
            scheduler,
            early_stopping: settings.early_stopping.as_ref().map(watch).transpose()?,
            history: History::default(),
            ended: false,
            outputs: if classes == 2 { 1 } else { classes },
            class_weights: settings.class_weight.weights(&set.class_counts()).map_err(|e| setting(&e))?,
            folder: folder.to_owned(),
            fingerprint: OnceLock::new(),
            settings,
            set,
            network,
            parameters,
        })
    }

    /// Resumes the run in `folder`.
    ///
    /// # Errors
    /// In the cases of [`new`](Self::new); also if there is no checkpoint, or it belongs to other data or another network.
    pub fn resume(
        settings: TrainingSettings,
        set: &'s TrainingSet,
        folder: impl AsRef<Path>,
    ) -> Result<Self, TrainError> {
        let folder = folder.as_ref();
        let mut trainer = Self::new(settings, set, folder)?;
        let path = trainer.checkpoint_path();
        let foreign = |reason: &str| TrainError::Checkpoint { path: path.clone(), reason: reason.to_owned() };
        let checkpoint = Checkpoint::load(&path)?;
        if checkpoint.state["data"] != json!(trainer.fingerprint()) {
            return Err(foreign("the run was started with other images or another split"));
        }
        trainer.restore(&checkpoint).ok_or_else(|| foreign("the run was started with other settings"))?;
        Ok(trainer)
    }

    fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| self.set.fingerprint())
    }

    /// Returns the epochs so far.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Returns the number of steps per epoch.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.set.train.len().div_ceil(self.settings.batch_size)
    }

    /// Does the work of one step, including its share of the validation, without changing any state; used to
    /// estimate the training time.
    ///
    /// # Errors
    /// If a program cannot run.
    pub fn rehearse(&self) -> Result<(), TrainError> {
        let batch = &self.set.train[..self.settings.batch_size.min(self.set.train.len())];
        self.forward_and_backward(0, batch)?;
        self.population
            .update(&mut self.arrays.clone(), &mut |visit| visit(&self.gather(batch), batch.len()))?;
        let share = (batch.len() * self.set.validation.len()).div_ceil(self.set.train.len().max(1));
        self.evaluate(&self.set.validation[..share.min(self.set.validation.len())])?;
        Ok(())
    }

    /// Runs all remaining epochs.
    ///
    /// # Errors
    /// If the loss becomes infinite or NaN, or a file cannot be written.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<Ending, TrainError> {
        while !self.ended && (self.history.records.len() as u64) < self.settings.epochs {
            let epoch = self.history.records.len() as u64 + 1;
            let Some(record) = self.epoch(epoch, observer)? else { return Ok(Ending::Interrupted) };
            observer.epoch(&record);
        }
        // Written again, because the run may have been killed between its last checkpoint and these files.
        self.save_results()?;
        Ok(if self.ended { Ending::EarlyStopped } else { Ending::Finished })
    }

    /// Runs one epoch and writes its checkpoint; `None` if the observer requested a stop.
    fn epoch(&mut self, epoch: u64, observer: &mut dyn Observer) -> Result<Option<EpochRecord>, TrainError> {
        let rate = self.scheduler.rate(epoch - 1); // the schedule counts from 0
        let order = self.order(epoch);
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        let steps = order.len().div_ceil(self.settings.batch_size);
        for (step, batch) in batches(&order, self.settings.batch_size).enumerate() {
            logits.extend(self.train_batch(epoch, rate, batch)?);
            labels.extend(batch.iter().map(|&i| self.set.labels[i]));
            if !observer.step(epoch, step + 1, steps) {
                return Ok(None);
            }
        }
        self.update_population()?;
        let validation = self.evaluate(&self.set.validation)?;
        let held: Vec<usize> = self.set.validation.iter().map(|&i| self.set.labels[i]).collect();
        let k = self.outputs;
        let record = EpochRecord {
            epoch,
            loss: metric::cross_entropy(&logits, k, &labels, &self.class_weights),
            accuracy: metric::accuracy(&logits, k, &labels),
            auc: metric::roc_auc(&logits, k, &labels),
            val_loss: metric::cross_entropy(&validation, k, &held, &self.class_weights),
            val_accuracy: metric::accuracy(&validation, k, &held),
            val_auc: metric::roc_auc(&validation, k, &held),
            learning_rate: rate,
        };
        self.end_epoch(&record)?;
        Ok(Some(record))
    }

    /// Returns the indices of the training images in this epoch's order.
    fn order(&self, epoch: u64) -> Vec<usize> {
        if !self.settings.shuffle {
            return self.set.train.clone();
        }
        epoch_order(self.set.train.len(), self.settings.seed, epoch)
            .iter()
            .map(|&i| self.set.train[i])
            .collect()
    }

    /// Returns loss, logits and gradients of a batch, with this epoch's augmentation.
    fn forward_and_backward(&self, epoch: u64, batch: &[usize]) -> Result<StepOutput, TrainError> {
        let n = batch.len();
        let mut images = Vec::with_capacity(n * self.set.image_len());
        let (mut targets, mut weights) = (Vec::new(), Vec::with_capacity(n));
        for &i in batch {
            let start = images.len();
            images.extend_from_slice(self.set.image(i));
            let (seed, shape) = (self.settings.seed, self.set.preprocessing.shape());
            self.settings.augmentation.apply(&mut images[start..], shape, seed, epoch, i as u64);
            let label = self.set.labels[i];
            #[allow(clippy::cast_precision_loss)]
            weights.push(self.class_weights[label] / n as f32);
            match self.outputs {
                1 => targets.push(if label == 1 { 1.0 } else { 0.0 }),
                k => targets.extend((0..k).map(|c| if c == label { 1.0 } else { 0.0 })),
            }
        }
        self.step.run(&images, &targets, &weights, &self.arrays, n)
    }

    /// Runs one step; returns the batch's logits from before the update.
    fn train_batch(&mut self, epoch: u64, rate: f32, batch: &[usize]) -> Result<Vec<f32>, TrainError> {
        let output = self.forward_and_backward(epoch, batch)?;
        if !output.loss.is_finite() {
            return Err(TrainError::Diverged {
                epoch: usize::try_from(epoch).unwrap_or(0),
                learning_rate: rate,
            });
        }
        let mut values: Vec<Vec<f32>> =
            self.parameters.iter().map(|p| self.arrays.remove(&p.name).unwrap_or_default()).collect();
        let both = self.parameters.iter().zip(values.iter_mut().zip(&output.gradients));
        let mut updates: Vec<Update<'_>> = both
            .map(|(p, (values, gradient))| Update { name: &p.name, values, gradient, decays: p.decays })
            .collect();
        let outcome = self.optimizer.step(rate, &mut updates);
        for (parameter, values) in self.parameters.iter().zip(values) {
            self.arrays.insert(parameter.name.clone(), values);
        }
        outcome?;
        Ok(output.logits)
    }

    /// Returns the logits of the given images with the current weights.
    fn evaluate(&self, items: &[usize]) -> Result<Vec<f32>, TrainError> {
        let mut logits = Vec::new();
        for batch in items.chunks(EVALUATION_BATCH) {
            let images = self.gather(batch);
            logits.extend(self.scores.run(&images, &self.arrays, batch.len())?.swap_remove(0));
        }
        Ok(logits)
    }

    fn gather(&self, batch: &[usize]) -> Vec<f32> {
        let mut images = Vec::with_capacity(batch.len() * self.set.image_len());
        batch.iter().for_each(|&i| images.extend_from_slice(self.set.image(i)));
        images
    }

    fn update_population(&mut self) -> Result<(), TrainError> {
        if self.population.is_empty() {
            return Ok(());
        }
        let mut arrays = std::mem::take(&mut self.arrays);
        let outcome = self.population.update(&mut arrays, &mut |visit| {
            for batch in self.set.train.chunks(EVALUATION_BATCH) {
                visit(&self.gather(batch), batch.len())?;
            }
            Ok(())
        });
        self.arrays = arrays;
        outcome
    }

    /// Finishes an epoch: schedule, best weights, early stopping, files.
    fn end_epoch(&mut self, record: &EpochRecord) -> Result<(), TrainError> {
        self.history.records.push(*record);
        let watched = self.scheduler.metric().map(str::to_owned);
        self.scheduler.end_epoch(watched.and_then(|m| record.metric(&m)));
        if let Some(stopping) = &mut self.early_stopping {
            self.ended = stopping.stops(record.metric(stopping.metric().to_owned().as_str()));
        }
        let score = record.val_loss.or(record.loss).filter(|v| v.is_finite());
        let better = |score: f64| self.best.as_ref().is_none_or(|(best, ..)| score < *best);
        if let Some(score) = score.filter(|&s| better(s)) {
            self.best = Some((score, record.epoch, self.arrays.clone()));
        }
        self.checkpoint().save(&self.checkpoint_path())?;
        self.save_results()
    }

    /// Writes `history.csv` and `model.onnx`. Both can be derived from the checkpoint.
    fn save_results(&self) -> Result<(), TrainError> {
        let path = self.folder.join("history.csv");
        self.history.write(&path).map_err(|e| TrainError::Setting(e.to_string()))?;
        let path = self.folder.join("model.onnx");
        let bytes = self.model()?.to_onnx()?;
        crate::data::write_atomically(&path, &bytes).map_err(TrainError::writing(&path))
    }

    /// Returns the model with the weights to be saved.
    ///
    /// # Errors
    /// If an array does not match the network.
    pub fn model(&self) -> Result<Model, TrainError> {
        let kept = match &self.best {
            Some((_, _, arrays)) if self.settings.keep_best => arrays,
            _ => &self.arrays,
        };
        let mut graph = self.network.clone();
        for (name, values) in kept {
            let id = graph.find(name);
            let tensor = id.and_then(|id| graph.constant(id)).map(|t| t.shape().to_vec());
            let fits = id.zip(tensor).is_some_and(|(id, shape)| {
                shape.iter().product::<usize>() == values.len()
                    && graph.set_constant(id, Tensor::f32(&shape, values.clone()))
            });
            if !fits {
                return Err(TrainError::Network(format!("{name:?} does not fit the network")));
            }
        }
        let mut model = Model::from_graph(graph)?;
        model.class_names.clone_from(&self.set.class_names);
        model.preprocessing.clone_from(&self.set.preprocessing);
        // As if opened from its file.
        (model.described, model.arrays) = (true, ArrayNumbers::Pixels);
        Ok(model)
    }

    /// Returns the epoch whose weights the model has, counted from 1.
    #[must_use]
    pub fn kept_epoch(&self) -> u64 {
        match &self.best {
            Some((_, epoch, _)) if self.settings.keep_best => *epoch,
            _ => self.history.records.len() as u64,
        }
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.folder.join("checkpoint.safetensors")
    }
}

/// Returns a stored array of the network by name.
fn stored(network: &Graph, name: &str) -> Option<(String, Vec<f32>)> {
    let values = network.constant(network.find(name)?)?.as_f32()?;
    Some((name.to_owned(), values.to_vec()))
}
