//! What a person is told before training starts: on what, how, for how long, and what would make it inconclusive.

use std::time::{Duration, Instant};

use heatlens::train::TrainingSet;
use heatlens::train::fit::{Settings, Trainer};
use heatlens::train::outlook::Concern;

use crate::failure::Failure;
use crate::output;

/// A first rehearsal shorter than this is repeated, since it also pays for fresh memory.
const SHORT: Duration = Duration::from_millis(500);

pub(crate) fn tell(
    set: &TrainingSet,
    settings: &Settings,
    original: Option<[usize; 2]>,
    trainer: &Trainer<'_>,
) -> Result<(), Failure> {
    let [c, h, w] = set.preprocessing.shape();
    let counts: Vec<String> =
        set.class_names.iter().zip(set.class_counts()).map(|(name, n)| format!("{n} of {name}")).collect();
    output::line(format!(
        "{} images of {c}×{h}×{w} to train on ({}), {} to judge by",
        set.train.len(),
        counts.join(", "),
        set.validation.len()
    ));
    if let Some([oh, ow]) = original.filter(|o| *o != [h, w]) {
        output::note(format!(
            "images are brought from {oh}×{ow} (height × width) to {h}×{w}; --size {oh}x{ow} keeps more detail and \
             takes longer"
        ));
    }
    let steps = trainer.steps();
    let stop = settings.early_stopping.as_ref().map_or_else(String::new, |s| {
        format!(", stopping when {} has not improved for {}", s.metric, s.patience)
    });
    output::line(format!(
        "{}, {} epochs of {steps} steps at a learning rate of {}, class weights {}{stop}: at most about {}",
        settings.architecture.id,
        settings.epochs,
        settings.learning_rate,
        settings.class_weight,
        time(seconds_of_a_step(trainer)? * steps as f64 * settings.epochs as f64)
    ));
    Concern::all(set, settings).iter().for_each(|concern| output::note(concern.to_string()));
    Ok(())
}

fn seconds_of_a_step(trainer: &Trainer<'_>) -> Result<f64, Failure> {
    let rehearse = || {
        let started = Instant::now();
        trainer.rehearse()?;
        Ok::<_, Failure>(started.elapsed())
    };
    let first = rehearse()?;
    let time = if first < SHORT { rehearse()? } else { first };
    Ok(time.as_secs_f64())
}

/// Seconds as people say them.
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
