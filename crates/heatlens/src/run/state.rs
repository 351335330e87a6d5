//! `run.json`: identity of the run in a folder. `--resume` only continues the same run, and `merge` only combines
//! shards of the same run.
//!
//! A run is identified by everything its results depend on: the program, the processor's instruction set, the content
//! of the model file, the images and the request. Paths and modification times are not part of the identity.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::{fs, io};

use heatlens_cpu::instruction_set;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::data::{Dataset, Shard, remove_unfinished, write_atomically};
use crate::report::{fingerprint, hexadecimal};
use crate::run::{DataRequest, FolderLock, ModelRequest, Request, RunError, RunOptions};
use crate::train::TrainingSet;

/// Name of the file.
pub(super) const FILE: &str = "run.json";

/// Description of a run, as stored in its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Version of the program.
    pub version: String,
    /// Instruction set used for the computation.
    pub processor: String,
    /// SHA-256 of the model file; empty if the run creates the model.
    pub model: String,
    /// SHA-256 of the names, rows and classes of the images, the class names, and the content of the reference.
    pub inputs: String,
    /// Number of images.
    pub images: usize,
    /// Shard computed by the run, if it is one.
    pub shard: Option<String>,
    /// True if the run is complete.
    pub finished: bool,
    /// Command that repeats the run.
    pub command: String,
    /// Request of the user.
    pub request: Request,
}

impl RunState {
    /// Describes a new run.
    ///
    /// # Errors
    /// If the model file or the reference cannot be read.
    pub(super) fn new(
        request: Request,
        options: &RunOptions,
        data: &dyn Dataset,
        model: Fingerprint,
    ) -> Result<Self, RunError> {
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            processor: instruction_set().to_owned(),
            model: model.finish()?,
            inputs: identity(data, request.model().and_then(|model| model.reference.as_deref()))?,
            images: data.len(),
            shard: options.shard.map(|shard| shard.to_string()),
            finished: false,
            command: options.command.clone(),
            request,
        })
    }

    /// Describes a new training run.
    #[must_use]
    pub fn of_training(settings: Map<String, Value>, set: &TrainingSet, command: &str) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            processor: instruction_set().to_owned(),
            model: String::new(),
            inputs: set.fingerprint(),
            images: set.labels.len(),
            shard: None,
            finished: false,
            command: command.to_owned(),
            request: Request::Train(settings),
        }
    }

    /// Reads the state stored in a folder.
    ///
    /// # Errors
    /// If there is none, or it is damaged. The messages do not contain the file name.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(folder.join(FILE)).map_err(|e| e.to_string())?;
        serde_json::from_str(&text).map_err(|e| format!("damaged: {e}"))
    }

    /// Writes the state into a folder, atomically.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), RunError> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self).map_err(|e| RunError::writing(&path)(e.into()))?;
        write_atomically(&path, format!("{text}\n").as_bytes()).map_err(RunError::writing(&path))
    }

    /// Locks a folder that holds an unfinished run equal to this one, and removes its incomplete files.
    ///
    /// # Errors
    /// If the folder holds no run, a finished one or a different one, or if another process is using it.
    pub fn resume(&self, folder: &Path) -> Result<FolderLock, RunError> {
        self.check_resumable(folder)?;
        let lock = FolderLock::take(folder)?;
        remove_unfinished(folder).map_err(RunError::writing(folder))?;
        Ok(lock)
    }

    /// Checks that a folder holds an unfinished run equal to this one.
    ///
    /// # Errors
    /// If it holds no run, a finished one or a different one.
    fn check_resumable(&self, folder: &Path) -> Result<(), RunError> {
        let nothing = |reason: &dyn Display| {
            let path = folder.join(FILE);
            RunError::OtherRun(format!(
                "there is no unfinished run to resume ({}: {reason}); start one without --resume",
                path.display()
            ))
        };
        let found = Self::read(folder).map_err(|reason| nothing(&reason))?;
        let changes = found.differences(self);
        if !changes.is_empty() {
            let changes: Vec<String> =
                changes.iter().map(|(key, then, now)| format!("{key} was {then}, is now {now}")).collect();
            return Err(RunError::OtherRun(format!(
                "the run in {} was started with other settings: {}; resume with the same settings, or start \
                 again with --force",
                folder.display(),
                changes.join("; ")
            )));
        }
        // The checkpoint of a finished training run holds its last epoch: resuming only writes the results again.
        match (&found.request, found.finished) {
            (Request::Explain(_) | Request::Audit(_), true) => Err(nothing(&"the run there is finished")),
            _ => Ok(()),
        }
    }

    /// Returns everything in which two runs differ, with its value in each. A folder that was moved together with its
    /// inputs still holds the same run.
    pub(super) fn differences(&self, other: &Self) -> Vec<(String, Value, Value)> {
        let (mine, others) = (self.facts(), other.facts());
        let keys: BTreeSet<&String> = mine.keys().chain(others.keys()).collect();
        let of = |facts: &Map<String, Value>, key: &str| facts.get(key).cloned().unwrap_or_default();
        keys.into_iter()
            .map(|key| (key.clone(), of(&mine, key), of(&others, key)))
            .filter(|(_, a, b)| a != b)
            .collect()
    }

    /// Returns everything the results depend on, by name; the fields of the request are listed by their own names.
    fn facts(&self) -> Map<String, Value> {
        let mut facts = flat(self);
        facts.retain(|key, _| key != "finished" && key != "command");
        let request = facts.remove("request").unwrap_or_default();
        // Identified by their content, in `inputs`.
        let places = ["data", "validation_data"];
        for (key, value) in request.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("model" | "data", Value::Object(parts)) => {
                    // Identified by their content, see above.
                    let known = ["path", "paths", "labels"];
                    let parts = parts.iter().filter(|(key, _)| !known.contains(&key.as_str()));
                    facts.extend(parts.map(|(key, value)| (key.clone(), value.clone())));
                }
                (place, Value::String(_)) if places.contains(&place) => {}
                _ => drop(facts.insert(key.clone(), value.clone())),
            }
        }
        facts
    }
}

/// Returns the fields of a record.
fn flat(record: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// SHA-256 of a file, computed in the background: a large model is hashed while it is opened and compiled.
pub(super) struct Fingerprint {
    path: PathBuf,
    hash: JoinHandle<io::Result<String>>,
}

impl Fingerprint {
    pub(super) fn start(path: &Path) -> Self {
        let file = path.to_owned();
        Self { path: path.to_owned(), hash: thread::spawn(move || fingerprint(file)) }
    }

    fn finish(self) -> Result<String, RunError> {
        let hash = self.hash.join().unwrap_or_else(|_| Err(io::Error::other("hashing it failed")));
        hash.map_err(RunError::reading(&self.path))
    }
}

/// Returns the SHA-256 of everything except pixels that results contain about the images, and of the reference.
fn identity(data: &dyn Dataset, reference: Option<&Path>) -> Result<String, RunError> {
    let mut hash = Sha256::new();
    let mut take = |text: &str| {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    };
    data.class_names().iter().for_each(|name| take(name));
    for item in 0..data.len() {
        take(&data.name(item));
        take(&format!("{} {:?}", data.index(item), data.label(item)));
    }
    if let Some(path) = reference {
        take(&fingerprint(path).map_err(RunError::reading(path))?);
    }
    Ok(hexadecimal(&hash.finalize()))
}

impl Request {
    /// Returns the model of the request; `None` if the run creates one.
    #[must_use]
    pub fn model(&self) -> Option<&ModelRequest> {
        match self {
            Self::Explain(request) => Some(&request.model),
            Self::Audit(request) => Some(&request.model),
            Self::Train(_) => None,
        }
    }
}

/// Part of a run to do.
#[derive(Debug)]
pub(super) enum Part {
    /// The whole run.
    Whole,
    /// Some of the images; outputs that span all of them are left to the merge.
    Shard(Shard),
    /// Outputs that span all images; the results of the shards are read instead of computed.
    Merge(Shards),
}

impl Part {
    /// Returns the part selected by the options: a shard or the whole run.
    pub(super) fn of(options: &RunOptions) -> Self {
        options.shard.map_or(Self::Whole, Self::Shard)
    }

    /// Checks that merged shards were made as the run `now` would be.
    pub(super) fn check(&self, now: &RunState) -> Result<(), RunError> {
        match self {
            Self::Merge(shards) => shards.check(now),
            Self::Whole | Self::Shard(_) => Ok(()),
        }
    }

    /// Returns the paths read besides the model: the images, and the folders of shards.
    pub(super) fn inputs<'p>(&'p self, data: &'p DataRequest) -> impl Iterator<Item = &'p PathBuf> {
        let shards = match self {
            Self::Merge(shards) => shards.folders.as_slice(),
            Self::Whole | Self::Shard(_) => &[],
        };
        data.paths.iter().chain(shards)
    }
}

/// Folders of all shards of one run, in the order of their numbers.
#[derive(Debug)]
pub(super) struct Shards {
    pub(super) folders: Vec<PathBuf>,
    pub(super) state: RunState,
}

impl Shards {
    /// Reads the folders, which must be all the shards of one run.
    pub(super) fn read(folders: &[PathBuf]) -> Result<Self, RunError> {
        let mut all = folders.iter().map(|folder| finished_shard(folder)).collect::<Result<Vec<_>, _>>()?;
        all.sort_by_key(|part| part.shard.number);
        let refused = |reason: String| Err(RunError::OtherRun(reason));
        let Some(first) = all.first() else {
            return Err(RunError::Request("name the folders of all shards".to_owned()));
        };
        let of = first.shard.of;
        for part in &all[1..] {
            if let Some((what, one, other)) = first.differences(part).first() {
                return refused(format!(
                    "{} and {} come from different runs: {what} is {one} in the first and {other} in the \
                     second; make all shards with the same command",
                    first.folder.display(),
                    part.folder.display()
                ));
            }
        }
        if let Some(twice) = all.windows(2).find(|pair| pair[0].shard == pair[1].shard) {
            return refused(format!(
                "{} and {} are both shard {}: name one of them",
                twice[0].folder.display(),
                twice[1].folder.display(),
                twice[0].shard
            ));
        }
        let is_there = |number: &usize| all.iter().any(|part| part.shard.number == *number);
        let missing: Vec<String> = (1..=of)
            .filter(|number| !is_there(number))
            .map(|number| Shard { number, of }.to_string())
            .collect();
        if !missing.is_empty() {
            return refused(format!(
                "found {} of {of} shards, {} missing: name the folders of all shards, and make the missing \
                 ones with --shard",
                all.len(),
                missing.join(", ")
            ));
        }
        let state = first.state.clone();
        Ok(Self { folders: all.into_iter().map(|part| part.folder).collect(), state })
    }

    /// Checks that a single run would give the same results now as the shards did.
    fn check(&self, now: &RunState) -> Result<(), RunError> {
        if self.state.images != now.images {
            return Err(RunError::OtherRun(format!(
                "the shards were made from {} images, but now there are {}: make them again",
                self.state.images, now.images
            )));
        }
        let then = RunState { shard: None, ..self.state.clone() };
        let changes = then.differences(now);
        let Some((key, then, now)) = changes.first() else { return Ok(()) };
        Err(RunError::OtherRun(format!(
            "the shards were made with another {key}: {then}, now {now}; a single run would give other \
             results, so make them again"
        )))
    }
}

/// A finished shard.
struct FinishedShard {
    folder: PathBuf,
    shard: Shard,
    state: RunState,
}

impl FinishedShard {
    fn differences(&self, other: &Self) -> Vec<(String, Value, Value)> {
        if self.shard.of != other.shard.of {
            let [one, two] = [self.shard, other.shard].map(|shard| Value::String(shard.to_string()));
            return vec![("shards".to_owned(), one, two)];
        }
        let alone = |part: &Self| RunState { shard: None, ..part.state.clone() };
        alone(self).differences(&alone(other))
    }
}

/// True if there is a Parquet file in the folder, or if it is one.
fn holds_parquet(folder: &Path) -> bool {
    let is_one = |path: &Path| path.extension().is_some_and(|ending| ending == "parquet");
    is_one(folder)
        || fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| is_one(&entry.path())))
}

fn finished_shard(folder: &Path) -> Result<FinishedShard, RunError> {
    let wrong = |reason: &dyn Display| {
        let advice = match holds_parquet(folder) {
            true => "; the Parquet files of Ray and Spark are merged by `python -m heatlens.merge`",
            false => "",
        };
        RunError::OtherRun(format!(
            "{} is not a finished shard ({FILE}: {reason}); expected a folder that `explain --shard` or \
             `audit --shard` has completed{advice}",
            folder.display()
        ))
    };
    let state = RunState::read(folder).map_err(|reason| wrong(&reason))?;
    let shard = state.shard.as_deref().ok_or_else(|| wrong(&"it is a whole run"))?;
    let damaged = |reason: String| {
        let path = folder.join(FILE);
        RunError::OtherRun(format!("{} is damaged: {reason}; make that shard again", path.display()))
    };
    let shard = shard.parse().map_err(damaged)?;
    if !state.finished {
        return Err(wrong(&"it was interrupted: continue with --resume"));
    }
    Ok(FinishedShard { folder: folder.to_owned(), shard, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{OpenOptions, open_inputs};
    use crate::run::{AuditRequest, DataRequest, ModelRequest};

    fn state() -> RunState {
        let request = AuditRequest {
            model: ModelRequest { path: "a/model.onnx".into(), ..ModelRequest::default() },
            data: DataRequest { paths: vec!["a/images".into()], ..DataRequest::default() },
            methods: Vec::new(),
            measured: None,
            full: false,
            train_data: None,
            placement: "resize".to_owned(),
            set: Vec::new(),
            seed: 0,
        };
        RunState {
            version: "1".to_owned(),
            processor: "avx2".to_owned(),
            model: "abc".to_owned(),
            inputs: "def".to_owned(),
            images: 3,
            shard: None,
            finished: false,
            command: "heatlens audit a".to_owned(),
            request: Request::Audit(Box::new(request)),
        }
    }

    #[test]
    fn a_moved_run_is_the_same_and_other_content_is_not() {
        let here = state();
        let mut there = here.clone();
        if let Request::Audit(request) = &mut there.request {
            request.model.path = "b/model.onnx".into();
            request.data.paths = vec!["b".into(), "c".into()];
        }
        there.finished = true;
        there.command.clear();
        assert_eq!(here.differences(&there), []);
        let other = |change: fn(&mut RunState)| {
            let mut other = state();
            change(&mut other);
            here.differences(&other).pop().map(|found| found.0)
        };
        assert_eq!(other(|s| s.model = "x".to_owned()).as_deref(), Some("model"));
        assert_eq!(other(|s| s.images = 4).as_deref(), Some("images"));
        assert_eq!(other(|s| s.processor = "avx512".to_owned()).as_deref(), Some("processor"));
        let seed = |s: &mut RunState| {
            let Request::Audit(request) = &mut s.request else { return };
            request.seed = 1;
        };
        assert_eq!(other(seed).as_deref(), Some("seed"));
        let preset = |s: &mut RunState| {
            let Request::Audit(request) = &mut s.request else { return };
            request.model.preset = Some("tf".to_owned());
        };
        assert_eq!(other(preset).as_deref(), Some("preset"));
    }

    #[test]
    fn another_reference_under_the_same_name_is_another_run() {
        let folder = tempfile::tempdir().unwrap();
        let reference = folder.path().join("reference.npy");
        let array = crate::data::npy_bytes(&[1, 2, 2], &[0.0; 4]);
        fs::write(folder.path().join("X.npy"), array).unwrap();
        let data = open_inputs(&[folder.path().join("X.npy")], &OpenOptions::default()).unwrap();
        let mut seen = vec![identity(data.as_ref(), None).unwrap()];
        for content in ["one", "another"] {
            fs::write(&reference, content).unwrap();
            seen.push(identity(data.as_ref(), Some(&reference)).unwrap());
        }
        assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
        assert!(identity(data.as_ref(), Some(&folder.path().join("none"))).is_err());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        state().write(folder.path()).unwrap();
        assert_eq!(RunState::read(folder.path()).unwrap(), state());
        state().check_resumable(folder.path()).unwrap();
        RunState { finished: true, ..state() }.write(folder.path()).unwrap();
        let refused = state().check_resumable(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("finished"), "{refused}");
        let nothing = state().check_resumable(&folder.path().join("none")).unwrap_err().to_string();
        assert!(nothing.contains("no unfinished run"), "{nothing}");
    }
}
