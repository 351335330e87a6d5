//! Training of classifiers on images in memory.
//!
//! [`run`] performs a whole run in a folder, based on the following parts: [`arch`] builds the network, [`step`]
//! turns it into a program that computes loss and gradients, and [`fit`] runs the epochs and writes a
//! [`checkpoint`] after each, from which an interrupted run resumes. The other parts of a step have separate
//! modules: optimizer, schedule, early stopping, metrics, history, shuffling, augmentation and class weights.

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
