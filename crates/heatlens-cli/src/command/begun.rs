//! `unfinished.json`: what the run in a folder is, until it is finished. `--resume` goes on with the same one only.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use heatlens::bench::instruction_set;
use heatlens::data::{Shard, write_atomically};
use serde_json::{Value, json};

use crate::command::again;
use crate::failure::Failure;

const FILE: &str = "unfinished.json";

/// A run that was begun.
#[derive(Debug)]
pub(crate) struct Begun {
    path: PathBuf,
    facts: Value,
}

impl Begun {
    /// A run of a command in a folder, over so many images.
    pub(crate) fn new(
        out: &Path,
        words: &[String],
        shard: Option<Shard>,
        model: &Path,
        images: usize,
    ) -> Result<Self, Failure> {
        let facts = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "processor": instruction_set(),
            "model": state(model)?,
            "command": again::line(words),
            "images": images,
            "shard": shard.map(|shard| shard.to_string()),
        });
        Ok(Self { path: out.join(FILE), facts })
    }

    /// Says in the folder that it is begun.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        write_atomically(&self.path, format!("{:#}\n", self.facts).as_bytes())
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", self.path.display())))
    }

    /// The folder must hold the beginning of the same run.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let path = self.path.display();
        let text = fs::read_to_string(&self.path).map_err(|e| {
            Failure::new(format!(
                "there is no unfinished run to resume ({path}: {e}); start one without --resume"
            ))
        })?;
        let found: Value = serde_json::from_str(&text)
            .map_err(|e| Failure::new(format!("{path} is damaged: {e}; start again with --force")))?;
        let facts = self.facts.as_object().into_iter().flatten();
        facts.into_iter().find(|(key, now)| found[*key] != **now).map_or(Ok(()), |(key, now)| {
            Err(Failure::new(format!(
                "the run was begun with another {key}: {}, now {now}; go on with the same, or start again with --force",
                found[key]
            )))
        })
    }

    /// Says that it is finished.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Failure::new(format!("cannot remove {}: {e}", self.path.display())))
            }
            _ => Ok(()),
        }
    }
}

/// By what a file is known without reading it: a model of half a gigabyte would take longer than an image.
fn state(model: &Path) -> Result<String, Failure> {
    let wrong = |e| Failure::new(format!("cannot read {}: {e}", model.display()));
    let metadata = fs::metadata(model).map_err(wrong)?;
    let changed = metadata.modified().map_err(wrong)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(format!("{} bytes of {}.{:09} s", metadata.len(), changed.as_secs(), changed.subsec_nanos()))
}
