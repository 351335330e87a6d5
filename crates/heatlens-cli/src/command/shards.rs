//! `shard.json`: what a shard is a part of. It is written last, so that a folder with it is complete.

use std::fs;
use std::path::{Path, PathBuf};

use heatlens::bench::instruction_set;
use heatlens::data::{Shard, write_atomically};
use heatlens::gallery::Kept;
use heatlens::report::fingerprint;
use serde_json::{Value, json};

use crate::failure::Failure;

const FILE: &str = "shard.json";

/// The file of a shard that is not finished yet.
#[derive(Debug)]
pub(crate) struct Finished(PathBuf);

impl Finished {
    /// Removes what an earlier shard left here.
    pub(crate) fn clear(out: &Path) -> Result<Self, Failure> {
        let path = out.join(FILE);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::new(format!("cannot remove {}: {e}", path.display())))
            }
            _ => Ok(Self(path)),
        }
    }

    /// Says what was done.
    pub(crate) fn write(
        self,
        shard: Shard,
        words: &[String],
        model: &Path,
        images: usize,
    ) -> Result<(), Failure> {
        let mut found = conditions(model)?;
        found["command"] = json!(words);
        found["images"] = json!(images);
        found["shard"] = json!(shard.to_string());
        write_atomically(&self.0, format!("{found:#}\n").as_bytes())
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", self.0.display())))
    }
}

/// What the numbers depend on besides the command and the images.
fn conditions(model: &Path) -> Result<Value, Failure> {
    let hash =
        fingerprint(model).map_err(|e| Failure::new(format!("cannot read {}: {e}", model.display())))?;
    Ok(json!({ "version": env!("CARGO_PKG_VERSION"), "processor": instruction_set(), "model": hash }))
}

/// All shards of one run.
#[derive(Debug)]
pub(crate) struct Shards {
    /// Their folders, in the order of their numbers.
    pub(crate) folders: Vec<PathBuf>,
    /// The command that they are parts of.
    pub(crate) words: Vec<String>,
    known: Value,
}

impl Shards {
    /// Reads the folders, which must be all parts of one run.
    pub(crate) fn read(folders: &[PathBuf]) -> Result<Self, Failure> {
        let mut all = folders.iter().map(|folder| one(folder)).collect::<Result<Vec<_>, _>>()?;
        all.sort_by_key(|part| part.shard.number);
        let first = all.first().ok_or_else(|| Failure::usage("name the folders of all shards"))?;
        for part in &all[1..] {
            same(first, part)?;
        }
        if let Some(twice) = all.windows(2).find(|pair| pair[0].shard == pair[1].shard) {
            return Err(Failure::new(format!(
                "{} and {} are both shard {}: name one of them",
                twice[0].folder.display(),
                twice[1].folder.display(),
                twice[0].shard
            )));
        }
        let of = first.shard.of;
        let missing: Vec<String> = (1..=of)
            .filter(|number| all.iter().all(|part| part.shard.number != *number))
            .map(|number| Shard { number, of }.to_string())
            .collect();
        if !missing.is_empty() {
            return Err(Failure::new(format!(
                "found {} of {of} shards, {} missing: name the folders of all, and make those that are not there with --shard",
                all.len(),
                missing.join(", ")
            )));
        }
        let words = first.known["command"].as_array().into_iter().flatten();
        let words = words.filter_map(|word| word.as_str().map(str::to_owned)).collect();
        let known = first.known.clone();
        Ok(Self { folders: all.into_iter().map(|part| part.folder).collect(), words, known })
    }

    /// The same numbers must come out here as in the shards.
    pub(crate) fn check(&self, model: &Path) -> Result<(), Failure> {
        let now = conditions(model)?;
        let changed = now.as_object().into_iter().flatten().find(|(key, value)| self.known[*key] != **value);
        changed.map_or(Ok(()), |(key, value)| {
            Err(Failure::new(format!(
                "the shards were made with another {key}: {}, now {value}; one run would have other results, so make them again",
                self.known[key]
            )))
        })
    }

    /// Opens what they keep, if there are as many images as there were.
    pub(crate) fn open(&self, images: usize) -> Result<Kept, Failure> {
        self.check_images(images)?;
        Ok(Kept::open(&self.folders)?)
    }

    pub(crate) fn check_images(&self, images: usize) -> Result<(), Failure> {
        if self.known["images"] == json!(images) {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the shards were made of {} images, now there are {images}: make them again",
            self.known["images"]
        )))
    }
}

/// One folder.
struct Part {
    folder: PathBuf,
    shard: Shard,
    known: Value,
}

fn one(folder: &Path) -> Result<Part, Failure> {
    let path = folder.join(FILE);
    let text = fs::read_to_string(&path).map_err(|e| {
        Failure::new(format!(
            "{} is no finished shard ({FILE}: {e}); expected a folder that `explain --shard` or `audit --shard` has written to the end",
            folder.display()
        ))
    })?;
    let damaged = |reason: &dyn std::fmt::Display| {
        Failure::new(format!("{} is damaged: {reason}; make that shard again", path.display()))
    };
    let known: Value = serde_json::from_str(&text).map_err(|e| damaged(&e))?;
    let shard: Shard =
        known["shard"].as_str().unwrap_or_default().parse().map_err(|e: String| damaged(&e))?;
    Ok(Part { folder: folder.to_owned(), shard, known })
}

/// Two shards must be of one run.
fn same(a: &Part, b: &Part) -> Result<(), Failure> {
    let differ = |what: &str, one: &dyn std::fmt::Display, other: &dyn std::fmt::Display| {
        Failure::new(format!(
            "{} and {} are no parts of one run: {what} {one} and {other}; make all shards by the same command",
            a.folder.display(),
            b.folder.display()
        ))
    };
    if a.shard.of != b.shard.of {
        return Err(differ("shards", &a.shard, &b.shard));
    }
    let keys = a.known.as_object().into_iter().flatten().filter(|(key, _)| *key != "shard");
    for (key, value) in keys {
        if b.known[key] != *value {
            return Err(differ(key, value, &b.known[key]));
        }
    }
    Ok(())
}
