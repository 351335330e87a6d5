//! Statistics of classifiers and of means over images: tests, intervals, curves, calibration, confusion counts.
//!
//! Nothing here knows of models, methods or training; `train`, `trust`, `dataset` and `report` all build on it.
//! [`binomial`], [`rank_test`], [`fisher`] and [`friedman`] are significance tests; [`interval`], [`delong`] and
//! [`bootstrap`] make 95 % confidence intervals; [`classifier`], [`confusion`], [`curve`] and [`calibration`] describe
//! a classifier's answers; [`text`] writes shares and p-values.

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

pub use interval::Estimate;
