//! Progress of training: a bar over the whole run on a terminal, and a line per epoch everywhere.

use std::time::Instant;

use heatlens::train::fit::Observer;
use heatlens::train::history::EpochRecord;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;
use crate::progress::interrupted;

#[derive(Debug)]
pub(crate) struct EpochLines {
    bar: ProgressBar,
    epochs: u64,
    started: Instant,
    quiet: bool,
}

impl EpochLines {
    pub(crate) fn new(epochs: u64, quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {percent}%, at most {eta} left") {
            bar.set_style(style);
        }
        Self { bar, epochs, started: Instant::now(), quiet }
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
                // The first epochs of a resumed run took no time.
                self.bar.set_position(done);
                self.bar.reset_eta();
            }
        }
        self.bar.set_position(done);
        !interrupted()
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.started = Instant::now();
        if self.quiet {
            return;
        }
        let columns = ["loss", "accuracy", "auc", "val_loss", "val_accuracy", "val_auc"];
        let column = |name| record.metric(name).map(|v| format!("  {name} {v:.4}"));
        let metrics: String = columns.into_iter().filter_map(column).collect();
        let text = format!("epoch {:>3}/{}{metrics}  {seconds:.1} s", record.epoch, self.epochs);
        self.bar.suspend(|| output::line(text));
    }
}
