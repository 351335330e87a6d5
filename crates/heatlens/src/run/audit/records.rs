//! What an audit leaves on disk while it goes on: the comparison with random networks, and a line for each image.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::data::write_atomically;
use crate::run::RunError;
use crate::trust::audit::Record;
use crate::trust::dependence::Dependence;

const DEPENDENCE: &str = "random-networks.json";
const IMAGES: &str = "images.jsonl";

/// The files in an audit's folder.
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

    /// Removes what an earlier audit left.
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

    /// Takes over what shards of the same audit measured, as if it had been measured here.
    pub(super) fn gather(&self, shards: &[PathBuf]) -> Result<(), RunError> {
        let mut all = Vec::new();
        for folder in shards {
            let shard = Records::new(folder);
            all.extend(shard.all()?);
            if let Some(found) = shard.dependence()? {
                self.keep_dependence(&found)?;
            }
        }
        all.sort_by_key(|record| record.item);
        all.iter().try_for_each(|record| self.keep(record))
    }

    /// The comparison with random networks, if it is done.
    pub(super) fn dependence(&self) -> Result<Option<Dependence>, RunError> {
        let path = self.path(DEPENDENCE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(RunError::reading(&path))?;
        let value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let damaged = || {
            let reason = format!("{} is damaged: remove it, or begin again with --force", path.display());
            RunError::OtherRun(reason)
        };
        Dependence::from_json(&value).ok_or_else(damaged).map(Some)
    }

    pub(super) fn keep_dependence(&self, found: &Dependence) -> Result<(), RunError> {
        let path = self.path(DEPENDENCE);
        let text = format!("{:#}\n", found.to_json());
        write_atomically(&path, text.as_bytes()).map_err(RunError::writing(&path))
    }

    /// The images that are done; a line that was cut off is measured again.
    pub(super) fn all(&self) -> Result<Vec<Record>, RunError> {
        let path = self.path(IMAGES);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).map_err(RunError::reading(&path))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        if whole.len() < text.len() {
            write_atomically(&path, whole.as_bytes()).map_err(RunError::writing(&path))?;
        }
        let damaged = |line: &str| {
            let start: String = line.chars().take(60).collect();
            RunError::OtherRun(format!(
                "{} holds a damaged line: {start}…; remove it, or begin again with --force",
                path.display()
            ))
        };
        whole.lines().map(|line| Record::parse(line).ok_or_else(|| damaged(line))).collect()
    }

    /// Adds an image's line.
    pub(super) fn keep(&self, record: &Record) -> Result<(), RunError> {
        let path = self.path(IMAGES);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let line = format!("{}\n", record.to_json());
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(RunError::writing(&path))
    }
}
