//! Evaluation: can an explanation of this model be trusted?
//!
//! [`audit`] holds the results for a model and the methods that explain it; [`chance`] tests whether the model is
//! better than chance; [`activity`] finds channels that are never active; [`health`] describes problems in a
//! model's numbers. The statistics are in [`crate::stats`].

pub mod absence;
pub mod activity;
pub mod audit;
pub mod chance;
pub mod dependence;
pub mod duplicates;
pub mod health;
pub mod literature;
pub mod randomise;
