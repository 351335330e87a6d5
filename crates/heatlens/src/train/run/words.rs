//! Description of a plan: the data, the settings, and the estimated time.

use std::time::{Duration, Instant};

use super::TrainingPlan;
use crate::train::TrainError;
use crate::train::fit::Trainer;

/// Minimum duration of a reliable rehearsal; a shorter one is repeated, because the first includes memory
/// allocation.
const SHORT: Duration = Duration::from_millis(500);

/// Texts shown before a run begins.
impl TrainingPlan {
    /// Returns a line with the numbers of training images per class and of validation images.
    #[must_use]
    pub fn images_in_words(&self) -> String {
        let set = &self.set;
        let [c, h, w] = set.preprocessing.shape();
        let counts = set.class_names.iter().zip(set.class_counts());
        let counts: Vec<String> = counts.map(|(name, n)| format!("{n} of {name}")).collect();
        format!(
            "{} images of {c}×{h}×{w} to train on ({}), {} held out",
            set.train.len(),
            counts.join(", "),
            set.validation.len()
        )
    }

    /// Returns a line with the original and the new size if image files are resized.
    #[must_use]
    pub fn reduction_in_words(&self) -> Option<String> {
        let [_, h, w] = self.set.preprocessing.shape();
        let [oh, ow] = self.original.filter(|original| *original != [h, w])?;
        Some(format!(
            "images are resized from {oh}×{ow} (height × width) to {h}×{w}; --size {oh}x{ow} keeps more \
             detail and takes longer"
        ))
    }

    /// Returns a line with the settings and the estimated maximum time, which is measured on one step of `trainer`,
    /// a trainer of this plan.
    ///
    /// # Errors
    /// If a program cannot run.
    pub fn work_in_words(&self, trainer: &Trainer<'_>) -> Result<String, TrainError> {
        let (settings, steps) = (&self.settings, trainer.steps());
        let stop = settings.early_stopping.as_ref().map_or_else(String::new, |s| {
            format!(", stopping when {} has not improved for {}", s.metric, s.patience)
        });
        Ok(format!(
            "{}, {} epochs of {steps} steps at a learning rate of {}, class weights {}{stop}: at most about {}",
            settings.architecture.id,
            settings.epochs,
            settings.learning_rate,
            settings.class_weight,
            time(seconds_of_a_step(trainer)? * steps as f64 * settings.epochs as f64)
        ))
    }
}

fn seconds_of_a_step(trainer: &Trainer<'_>) -> Result<f64, TrainError> {
    let rehearse = || -> Result<Duration, TrainError> {
        let started = Instant::now();
        trainer.rehearse()?;
        Ok(started.elapsed())
    };
    let first = rehearse()?;
    let time = if first < SHORT { rehearse()? } else { first };
    Ok(time.as_secs_f64())
}

/// Formats seconds for display, rounded up.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => "10 s".to_owned(),
        s if s < 90.0 => format!("{:.0} s", (s / 10.0).ceil() * 10.0),
        s if s < 90.0 * 60.0 => format!("{:.0} minutes", (s / 60.0).ceil()),
        s => format!("{:.1} hours", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_rounded_up() {
        assert_eq!(
            [0.2, 11.0, 89.9, 91.0, 3700.0, 7200.0].map(time).join(", "),
            "10 s, 20 s, 90 s, 2 minutes, 62 minutes, 2.0 hours"
        );
    }
}
