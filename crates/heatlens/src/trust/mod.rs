//! Evaluation: can an explanation of this model be trusted?
//!
//! [`audit`] holds the results for a model and the methods that explain it; [`significance`] tests whether the model is
//! better than chance; [`dead_channels`] finds channels that are never active; [`model_problems`] describes problems in a
//! model's numbers. The statistics are in [`crate::stats`].

pub mod absence;
pub mod audit;
pub mod dead_channels;
pub mod duplicates;
pub mod literature;
pub mod model_problems;
pub mod model_randomization;
pub mod randomise;
pub mod significance;
