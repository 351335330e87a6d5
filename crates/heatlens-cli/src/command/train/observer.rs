//! What a person sees while a model trains: a bar over the whole run on a terminal, a line for each
//! epoch everywhere, and `timing.csv` for those who measure.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use heatlens::train::fit::{Observer, Settings};
use heatlens::train::history::Record;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;
use crate::output;
use crate::progress::interrupted;

#[derive(Debug)]
pub(crate) struct EpochLines {
    bar: ProgressBar,
    timing: File,
    epochs: u64,
    started: Instant,
    quiet: bool,
}

impl EpochLines {
    pub(crate) fn new(settings: &Settings, out: &Path, resume: bool, quiet: bool) -> Result<Self, Failure> {
        let path = out.join("timing.csv");
        let fresh = !(resume && path.exists());
        let mut timing = OpenOptions::new()
            .create(true)
            .append(!fresh)
            .write(true)
            .truncate(fresh)
            .open(&path)
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))?;
        if fresh {
            writeln!(timing, "epoch,seconds")?;
        }
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {percent}%, at most {eta} left") {
            bar.set_style(style);
        }
        Ok(Self { bar, timing, epochs: settings.epochs, started: Instant::now(), quiet })
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for EpochLines {
    fn step(&mut self, epoch: u64, step: usize, steps: usize) -> bool {
        let done = (epoch - 1) * steps as u64 + step as u64;
        if step == 1 {
            self.bar.set_message(format!("epoch {epoch}/{}", self.epochs));
            if self.bar.length().is_none() {
                self.bar.set_length(self.epochs * steps as u64);
                // A resumed run did its first epochs in no time.
                self.bar.set_position(done);
                self.bar.reset_eta();
            }
        }
        self.bar.set_position(done);
        !interrupted()
    }

    fn epoch(&mut self, record: &Record) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.started = Instant::now();
        if let Err(e) = writeln!(self.timing, "{},{seconds:.4}", record.epoch) {
            output::note(format!("timing.csv: {e}"));
        }
        if self.quiet {
            return;
        }
        let number = |name: &str, v: Option<f64>| v.map_or_else(String::new, |v| format!("  {name} {v:.4}"));
        let line = [
            number("loss", record.loss),
            number("accuracy", record.accuracy),
            number("auc", record.auc),
            number("val_loss", record.val_loss),
            number("val_accuracy", record.val_accuracy),
            number("val_auc", record.val_auc),
        ];
        let text = format!("epoch {:>3}/{}{}  {seconds:.1} s", record.epoch, self.epochs, line.concat());
        self.bar.suspend(|| output::line(text));
    }
}
