//! What an audit leaves on disk while it goes on: its settings, the comparison with random networks, and a line for
//! each image.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use heatlens::data::write_atomically;
use heatlens::trust::audit::{Auditor, Record};
use heatlens::trust::dependence::Dependence;
use serde_json::{Value, json};

use crate::arguments::Audit;
use crate::failure::Failure;

const SETTINGS: &str = "audit-settings.json";
const DEPENDENCE: &str = "random-networks.json";
const IMAGES: &str = "images.jsonl";

/// The files in an audit's folder.
#[derive(Debug)]
pub(super) struct Kept<'k> {
    folder: &'k Path,
    settings: Value,
}

/// All that the results depend on.
pub(super) fn settings(options: &Audit, auditor: &Auditor, chosen: &[usize]) -> Result<Value, Failure> {
    let model = fs::read(&options.model)
        .map_err(|e| Failure::new(format!("cannot read {}: {e}", options.model.display())))?;
    let hash = model.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
    });
    let methods: Vec<&str> = auditor.methods().iter().map(|m| m.id).collect();
    let data: Vec<String> = options.data.iter().map(|p| p.display().to_string()).collect();
    Ok(json!({
        "heatlens": env!("CARGO_PKG_VERSION"),
        "model": format!("{hash:016x}"),
        "preprocessing": auditor.model().preprocessing.to_pairs(),
        "data": data,
        "rows": options.input.rows,
        "images": chosen,
        "methods": methods,
        "set": options.set,
        "placement": options.placement,
        "full": options.full,
        "seed": options.seed,
    }))
}

impl<'k> Kept<'k> {
    pub(super) fn new(folder: &'k Path, settings: Value) -> Self {
        Self { folder, settings }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Begins anew: nothing of an earlier audit stays.
    pub(super) fn start(&self) -> Result<(), Failure> {
        for name in [DEPENDENCE, IMAGES, "audit.json", "timing.json"] {
            let path = self.path(name);
            if path.exists() {
                fs::remove_file(&path)
                    .map_err(|e| Failure::new(format!("cannot remove {}: {e}", path.display())))?;
            }
        }
        self.write(SETTINGS, &self.settings)
    }

    /// Refuses to go on with an audit of something else.
    pub(super) fn check_same(&self) -> Result<(), Failure> {
        let path = self.path(SETTINGS);
        let text = fs::read_to_string(&path).map_err(|e| {
            Failure::new(format!("cannot read {}: {e}; there is no audit to go on with", path.display()))
        })?;
        let known: Value = serde_json::from_str(&text)
            .map_err(|e| Failure::new(format!("{}: {e}; begin again with --force", path.display())))?;
        let Some(now) = self.settings.as_object() else { return Ok(()) };
        match now.iter().find(|(key, value)| known[*key] != **value) {
            None => Ok(()),
            Some((key, value)) => Err(Failure::new(format!(
                "the audit in {} was begun with another {key}: {}, now {value}; give the same, or begin again with --force",
                self.folder.display(),
                known[key]
            ))),
        }
    }

    /// Takes over what shards of the same audit measured, as if it had been measured here.
    pub(super) fn gather(&self, shards: &[PathBuf]) -> Result<(), Failure> {
        let mut records = Vec::new();
        for folder in shards {
            let shard = Kept::new(folder, self.settings.clone());
            shard.check_same()?;
            records.extend(shard.records()?);
            if let Some(found) = shard.dependence()? {
                self.keep_dependence(&found)?;
            }
        }
        records.sort_by_key(|record| record.item);
        records.iter().try_for_each(|record| self.keep(record))
    }

    /// The comparison with random networks, if it is done.
    pub(super) fn dependence(&self) -> Result<Option<Dependence>, Failure> {
        let path = self.path(DEPENDENCE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path)
            .map_err(|e| Failure::new(format!("cannot read {}: {e}", path.display())))?;
        let value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let broken =
            || Failure::new(format!("{} is damaged: remove it, or begin again with --force", path.display()));
        Dependence::from_json(&value).ok_or_else(broken).map(Some)
    }

    pub(super) fn keep_dependence(&self, found: &Dependence) -> Result<(), Failure> {
        self.write(DEPENDENCE, &found.to_json())
    }

    /// The images that are done; a line that was cut off is measured again.
    pub(super) fn records(&self) -> Result<Vec<Record>, Failure> {
        let path = self.path(IMAGES);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path)
            .map_err(|e| Failure::new(format!("cannot read {}: {e}", path.display())))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        if whole.len() < text.len() {
            write_atomically(&path, whole.as_bytes())
                .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))?;
        }
        let damaged = |line: &str| {
            let start: String = line.chars().take(60).collect();
            Failure::new(format!(
                "{} holds a damaged line: {start}…; remove it, or begin again with --force",
                path.display()
            ))
        };
        whole.lines().map(|line| Record::parse(line).ok_or_else(|| damaged(line))).collect()
    }

    /// Adds an image's line.
    pub(super) fn keep(&self, record: &Record) -> Result<(), Failure> {
        let path = self.path(IMAGES);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let line = format!("{}\n", record.to_json());
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))
    }

    fn write(&self, name: &str, value: &Value) -> Result<(), Failure> {
        let path = self.path(name);
        write_atomically(&path, format!("{value:#}\n").as_bytes())
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))
    }
}
