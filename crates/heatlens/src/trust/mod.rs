//! Whether a picture of where a model looks can be believed.
//!
//! [`audit`] holds what is found about a model and the methods that explain it;
//! [`chance`] asks whether the model has learned anything at all; [`activity`] finds channels that never say anything, [`health`] names what is broken
//! in a model's numbers. [`binomial`] and [`rank_test`] are the two
//! significance tests behind the first.

pub mod activity;
pub mod audit;
pub mod binomial;
pub mod bootstrap;
pub mod calibration;
pub mod chance;
pub mod delong;
pub mod dependence;
pub mod duplicates;
pub mod health;
pub mod randomise;
pub mod rank_test;
