//! `timing.csv`: the seconds of every epoch, in a separate file because they differ between runs.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::train::TrainError;
use crate::train::fit::Observer;
use crate::train::history::EpochRecord;

/// An observer that writes the file and forwards all calls.
pub(super) struct Timed<'o> {
    inner: &'o mut dyn Observer,
    path: PathBuf,
    file: File,
    started: Instant,
    failed: Option<io::Error>,
}

impl<'o> Timed<'o> {
    pub(super) fn new(inner: &'o mut dyn Observer, out: &Path, resume: bool) -> Result<Self, TrainError> {
        let path = out.join("timing.csv");
        let fresh = !(resume && path.exists());
        let mut options = OpenOptions::new();
        options.create(true).append(!fresh).write(true).truncate(fresh);
        let begun = options.open(&path).and_then(|mut file| {
            if fresh {
                writeln!(file, "epoch,seconds")?;
            }
            Ok(file)
        });
        let file = begun.map_err(TrainError::writing(&path))?;
        Ok(Self { inner, path, file, started: Instant::now(), failed: None })
    }

    /// # Errors
    /// If a line could not be written.
    pub(super) fn finish(self) -> Result<(), TrainError> {
        self.failed.map_or(Ok(()), |e| Err(TrainError::writing(&self.path)(e)))
    }
}

impl Observer for Timed<'_> {
    fn step(&mut self, epoch: u64, step: usize, steps: usize) -> bool {
        self.inner.step(epoch, step, steps)
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.started = Instant::now();
        let written = writeln!(self.file, "{},{seconds:.4}", record.epoch);
        self.failed = self.failed.take().or(written.err());
        self.inner.epoch(record);
    }
}
