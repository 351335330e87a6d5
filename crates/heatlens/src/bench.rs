//! Benchmarks of a model and its explanations on this machine.

mod report;

use std::time::{Duration, Instant};

pub use heatlens_cpu::{StepTime, instruction_set, peak_flops};
pub use report::{BenchReport, Row, measure};

/// Durations of several runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    sorted: Vec<Duration>,
}

impl Timing {
    /// Runs the work once to warm up and then `repeats` times (at least once).
    ///
    /// # Errors
    /// If the work fails.
    pub fn of<E>(repeats: usize, mut work: impl FnMut() -> Result<(), E>) -> Result<Self, E> {
        Self::by(repeats, || {
            let start = Instant::now();
            work()?;
            Ok(start.elapsed())
        })
    }

    /// Same as [`of`](Self::of), with work that measures its own duration.
    fn by<E>(repeats: usize, mut timed: impl FnMut() -> Result<Duration, E>) -> Result<Self, E> {
        timed()?;
        let mut sorted = (0..repeats.max(1)).map(|_| timed()).collect::<Result<Vec<_>, E>>()?;
        sorted.sort_unstable();
        Ok(Self { sorted })
    }

    /// Returns the median; the lower one of two.
    #[must_use]
    pub fn median(&self) -> Duration {
        self.sorted[(self.sorted.len() - 1) / 2]
    }

    /// Returns the shortest duration.
    #[must_use]
    pub fn fastest(&self) -> Duration {
        self.sorted[0]
    }

    /// Returns the longest duration.
    #[must_use]
    pub fn slowest(&self) -> Duration {
        self.sorted[self.sorted.len() - 1]
    }
}

/// Returns the duration of some work in seconds.
///
/// # Errors
/// If the work fails.
pub fn seconds<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<f64, E> {
    let started = Instant::now();
    work().map(|_| started.elapsed().as_secs_f64())
}

/// Formats a duration for the user.
#[must_use]
pub fn in_words(seconds: f64) -> String {
    match seconds {
        s if s < 1.5 => "1 second".to_owned(),
        s if s < 90.0 => format!("{s:.0} seconds"),
        s if s < 5400.0 => format!("{:.0} minutes", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} hours", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

/// Total of all kernels of one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorTime {
    /// Name of the operator.
    pub op: &'static str,
    /// Number of nodes.
    pub nodes: usize,
    /// Total time.
    pub time: Duration,
    /// Total number of multiplications and additions.
    pub flops: u64,
}

/// Groups the steps by operator, the slowest first.
///
/// ```
/// use heatlens::bench::{StepTime, by_operator};
/// use std::time::Duration;
/// let step = |op, ms| StepTime { node: "n".to_owned(), op, time: Duration::from_millis(ms), flops: 10 };
/// let found = by_operator(&[step("Conv", 2), step("Relu", 3), step("Conv", 4)]);
/// assert_eq!((found[0].op, found[0].nodes, found[0].flops), ("Conv", 2, 20));
/// assert_eq!(found[0].time, Duration::from_millis(6));
/// ```
#[must_use]
pub fn by_operator(steps: &[StepTime]) -> Vec<OperatorTime> {
    let mut found: Vec<OperatorTime> = Vec::new();
    for step in steps {
        match found.iter_mut().find(|o| o.op == step.op) {
            Some(operator) => {
                operator.nodes += 1;
                operator.time += step.time;
                operator.flops += step.flops;
            }
            None => {
                found.push(OperatorTime { op: step.op, nodes: 1, time: step.time, flops: step.flops });
            }
        }
    }
    found.sort_by_key(|o| std::cmp::Reverse(o.time));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words() {
        assert_eq!(
            [0.2, 80.0, 100.0, 7000.0, 200_000.0].map(in_words),
            ["1 second", "80 seconds", "2 minutes", "1.9 hours", "2 days"]
        );
    }

    #[test]
    fn the_first_run_does_not_count() {
        let mut durations = [600, 7, 2, 5, 3].map(Duration::from_millis).into_iter();
        let timing = Timing::by(4, || durations.next().ok_or(())).unwrap();
        assert_eq!(durations.next(), None);
        let found = [timing.fastest(), timing.median(), timing.slowest()];
        assert_eq!(found, [2, 3, 7].map(Duration::from_millis));
    }

    #[test]
    fn an_error_ends_it() {
        assert_eq!(Timing::of(3, || Err("no")), Err("no"));
    }
}
