//! What the tests of Keras files share.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use heatlens_graph::keras::{self, OpenOptions};

/// The samples.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keras")
}

/// A sample.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

/// What is said of a file that does not open.
pub(crate) fn refusal(bytes: &[u8]) -> String {
    match keras::open(bytes, &OpenOptions::default()) {
        Ok(_) => panic!("expected a refusal"),
        Err(error) => error.to_string(),
    }
}

/// An archive of these files, deflated.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut new = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        new.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        new.write_all(content).unwrap();
    }
    new.finish().unwrap().into_inner()
}
