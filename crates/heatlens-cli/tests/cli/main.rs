//! End-to-end tests of the program: output files, messages, and failures.
//!
//! Every test runs the real binary on tiny images. `common` creates the images and reads the results; there is one file
//! per topic: `train`, `resume`, `explain`, `report`, `localise`, `audit`, `merge`, `bench`, `convert`, `bad_input`,
//! `faults`, `full_disk`, `heads`, `help`, `library`, `model`, `pictures`, `pixels`, `classes`, `usage` and `onnxruntime`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)] // tests may panic

mod audit;
mod bad_input;
mod bench;
mod classes;
mod common;
mod convert;
mod explain;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod full_disk;
mod heads;
mod help;
#[cfg(target_os = "linux")]
mod hostile;
mod library;
mod localise;
mod merge;
mod model;
#[cfg(target_os = "linux")]
mod onnx_file;
mod onnxruntime;
mod pictures;
mod pixels;
mod report;
mod resume;
mod train;
mod usage;
