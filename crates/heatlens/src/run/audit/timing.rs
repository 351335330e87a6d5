//! Timing of an audit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::data::write_atomically;
use crate::run::RunError;

/// Time spent on each part of the work.
#[derive(Debug, Default)]
pub(super) struct Clock {
    spent: Mutex<BTreeMap<String, Duration>>,
}

impl Clock {
    /// Runs a part of the work and records its duration.
    pub(super) fn time<T>(&self, part: &str, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.add(part, started.elapsed());
        result
    }

    /// Returns a callback that adds the time since its last call to the named part and passes the number of passes to
    /// `go_on`.
    pub(super) fn listener(
        &self,
        go_on: impl Fn(usize) -> bool + Sync,
    ) -> impl Fn(&'static str, usize) -> bool + Sync {
        let last = Mutex::new(Instant::now());
        move |part, passes| {
            if let Ok(mut last) = last.lock() {
                self.add(part, last.elapsed());
                *last = Instant::now();
            }
            go_on(passes)
        }
    }

    fn add(&self, part: &str, time: Duration) {
        if let Ok(mut spent) = self.spent.lock() {
            *spent.entry(part.to_owned()).or_default() += time;
        }
    }

    /// Returns the seconds spent on each part.
    pub(super) fn seconds(&self) -> BTreeMap<String, f64> {
        let spent = self.spent.lock().map(|s| s.clone()).unwrap_or_default();
        spent.into_iter().map(|(part, time)| (part, time.as_secs_f64())).collect()
    }

    /// Writes the seconds spent on each part.
    pub(super) fn write(&self, path: &Path) -> Result<(), RunError> {
        let text = format!("{:#}\n", json!({ "seconds": self.seconds() }));
        write_atomically(path, text.as_bytes()).map_err(RunError::writing(path))
    }
}
