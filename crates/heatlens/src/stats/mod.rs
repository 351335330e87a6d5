//! Statistics of classifiers and of means over images: tests, intervals, curves, calibration, confusion matrices.
//!
//! This module does not depend on models, methods or training; `train`, `trust`, `dataset` and `report` build on
//! it. [`binomial`], [`rank_test`], [`fisher`] and [`friedman`] are significance tests; [`interval`], [`delong`]
//! and [`bootstrap`] compute 95 % confidence intervals; [`classifier`], [`confusion`], [`curve`] and
//! [`calibration`] describe the predictions of a classifier; [`text`] formats shares and p-values.

pub mod binomial;
pub mod bootstrap;
pub mod calibration;
pub mod classifier;
pub mod confusion;
pub mod curve;
pub mod delong;
pub mod fisher;
pub mod friedman;
pub mod interval;
pub mod rank_test;
pub mod text;

pub use interval::MeanEstimate;
