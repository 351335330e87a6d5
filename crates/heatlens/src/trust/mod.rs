//! Whether a picture of where a model looks can be believed.
//!
//! [`audit`] holds what is found about a model and the methods that explain it; [`chance`] tests whether the model is
//! better than chance; [`activity`] finds channels that are never active, [`health`] names what is broken in a model's
//! numbers. The statistics behind them are in [`crate::stats`].

pub mod absence;
pub mod activity;
pub mod audit;
pub mod chance;
pub mod dependence;
pub mod duplicates;
pub mod health;
pub mod literature;
pub mod randomise;
