//! Helpers shared by the tests of Keras files.

#![allow(clippy::unwrap_used, clippy::panic)] // test helpers

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use heatlens_graph::keras::{self, KerasOptions};

/// Returns the folder of the samples.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keras")
}

/// Reads a sample.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

/// Returns the error of a file that must not open.
pub(crate) fn refusal(bytes: &[u8]) -> String {
    match keras::open(bytes, &KerasOptions::default()) {
        Ok(_) => panic!("expected a refusal"),
        Err(error) => error.to_string(),
    }
}

/// Returns a deflated archive of files.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut new = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        new.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        new.write_all(content).unwrap();
    }
    new.finish().unwrap().into_inner()
}
