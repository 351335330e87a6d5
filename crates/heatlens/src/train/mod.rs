//! Training a classifier from images in memory.
//!
//! [`run`] does a whole run in a folder; it stands on the parts below. [`arch`] builds the network, [`step`] turns it into a program that gives loss and gradients,
//! [`fit`] runs epochs of it and keeps a [`checkpoint`] after each, so that a run that was stopped
//! goes on where it was. The parts that a step needs stand beside them, one file each: optimiser,
//! schedule, early stopping, metrics, history, shuffling, augmentation, class weights.

pub mod advice;
pub mod arch;
pub mod augment;
pub mod checkpoint;
pub mod class_weight;
pub mod early_stopping;
mod error;
pub mod evaluate;
pub mod fit;
pub mod history;
pub mod loss;
pub mod metric;
pub mod optimizer;
pub mod outlook;
pub mod plateau;
pub mod population;
pub mod recipe;
pub mod report;
pub mod run;
pub mod schedule;
mod set;
pub mod shuffle;
pub mod step;

pub use error::TrainError;
pub use set::TrainingSet;
