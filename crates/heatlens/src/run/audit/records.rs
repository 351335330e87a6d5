//! Files in which an unfinished audit stores its progress: the comparison with random networks, and one line per image.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::data::write_atomically;
use crate::run::RunError;
use crate::run::checksum::{sealed, unsealed};
use crate::trust::audit::ImageRecord;
use crate::trust::model_randomization::RandomizationTest;

const DEPENDENCE: &str = "random-networks.json";
const IMAGES: &str = "images.jsonl";
/// Field with the checksum of the pixels that were compared.
const PIXELS: &str = "pixels";

/// Files in an audit's folder.
#[derive(Debug)]
pub(super) struct Records<'r> {
    folder: &'r Path,
}

impl<'r> Records<'r> {
    pub(super) fn new(folder: &'r Path) -> Self {
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Removes the files of an earlier audit.
    pub(super) fn clear(&self) -> Result<(), RunError> {
        for name in [DEPENDENCE, IMAGES, "audit.json", "timing.json"] {
            let path = self.path(name);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(RunError::writing(&path)(e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Copies the measurements of shards of the same audit into this folder.
    pub(super) fn gather(&self, shards: &[PathBuf]) -> Result<(), RunError> {
        let mut all = Vec::new();
        for folder in shards {
            let shard = Records::new(folder);
            all.extend(shard.all()?);
            if let Some(kept) = shard.comparison()? {
                self.keep_comparison(kept)?;
            }
        }
        all.sort_by_key(|record| record.item);
        all.iter().try_for_each(|record| self.keep(record))
    }

    /// Returns the comparison with random networks, if it is done and was made of these pixels (by their checksum).
    pub(super) fn randomization(&self, pixels: &str) -> Result<Option<RandomizationTest>, RunError> {
        let kept = self.comparison()?.filter(|kept| kept[PIXELS] == pixels);
        Ok(kept.as_ref().and_then(RandomizationTest::from_json))
    }

    pub(super) fn keep_randomization(&self, found: &RandomizationTest, pixels: &str) -> Result<(), RunError> {
        let mut kept = found.to_json();
        kept[PIXELS] = pixels.into();
        self.keep_comparison(kept)
    }

    /// Returns the stored comparison; `None` if it is missing or damaged.
    fn comparison(&self) -> Result<Option<Value>, RunError> {
        let path = self.path(DEPENDENCE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).map_err(RunError::reading(&path))?;
        Ok(unsealed(&text))
    }

    fn keep_comparison(&self, kept: Value) -> Result<(), RunError> {
        let path = self.path(DEPENDENCE);
        let text = format!("{:#}\n", sealed(kept));
        write_atomically(&path, text.as_bytes()).map_err(RunError::writing(&path))
    }

    /// Returns the records of finished images, each image once. Truncated, damaged or duplicate lines are ignored, and
    /// their images are measured again.
    pub(super) fn all(&self) -> Result<Vec<ImageRecord>, RunError> {
        let path = self.path(IMAGES);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let bytes = fs::read(&path).map_err(RunError::reading(&path))?;
        let mut seen = HashSet::new();
        let records = bytes.split(|byte| *byte == b'\n').filter_map(record);
        Ok(records.filter(|record| seen.insert(record.item)).collect())
    }

    /// Rewrites the file with valid records only, before more are appended.
    pub(super) fn tidy(&self) -> Result<(), RunError> {
        let path = self.path(IMAGES);
        if !path.exists() {
            return Ok(());
        }
        let lines: String = self.all()?.iter().map(line).collect();
        write_atomically(&path, lines.as_bytes()).map_err(RunError::writing(&path))
    }

    /// Returns the error for an image whose pixels have changed since it was measured.
    pub(super) fn of_other_images(&self, item: usize) -> RunError {
        RunError::OtherImages { folder: self.folder.to_owned(), item }
    }

    /// Appends the line of an image.
    pub(super) fn keep(&self, record: &ImageRecord) -> Result<(), RunError> {
        let path = self.path(IMAGES);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(line(record).as_bytes())).map_err(RunError::writing(&path))
    }
}

fn line(record: &ImageRecord) -> String {
    format!("{}\n", sealed(record.to_json()))
}

fn record(line: &[u8]) -> Option<ImageRecord> {
    ImageRecord::of_json(&unsealed(line)?)
}
