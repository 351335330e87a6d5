//! Learning rate schedules.

use super::plateau::{Direction, Plateau, PlateauState};

/// A learning rate schedule.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Constant rate.
    Constant,
    /// Linear warm-up to the base rate, then half a cosine down to `min_lr` (Loshchilov and Hutter 2017, equation
    /// 5, without restarts).
    Cosine {
        /// Number of warm-up epochs; the rate of the first is base / (`warm_up` + 1).
        warm_up: u64,
        /// Rate at the end of the cosine, one epoch after the last.
        min_lr: f32,
    },
    /// Multiplies the rate by `factor` whenever a metric has not improved for `patience` epochs, like Keras'
    /// `ReduceLROnPlateau`.
    ReduceOnPlateau {
        /// Monitored metric: a column of `history.csv`, whose name determines the direction.
        metric: String,
        /// Factor of a reduction, in (0, 1).
        factor: f32,
        /// Number of epochs without improvement before a reduction.
        patience: u64,
        /// Minimum improvement, in the metric's unit.
        min_delta: f64,
        /// Lower bound of the rate.
        min_lr: f32,
    },
}

/// State of a [`Scheduler`], stored in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SchedulerState {
    /// Current rate, after all reductions.
    pub rate: f32,
    /// State of the plateau detection.
    pub plateau: PlateauState,
}

/// A schedule with its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduler {
    schedule: Schedule,
    epochs: u64,
    base: f32,
    state: SchedulerState,
}

impl Scheduler {
    /// Starts a schedule at the base rate `base` for a number of epochs. `None` if it monitors something that is
    /// not a metric.
    #[must_use]
    pub fn new(schedule: Schedule, base: f32, epochs: u64) -> Option<Self> {
        if let Schedule::ReduceOnPlateau { metric, .. } = &schedule {
            Direction::of(metric)?;
        }
        let state = SchedulerState { rate: base, plateau: PlateauState::default() };
        Some(Self { schedule, epochs, base, state })
    }

    /// Returns the metric that [`end_epoch`](Self::end_epoch) needs, if any.
    #[must_use]
    pub fn metric(&self) -> Option<&str> {
        match &self.schedule {
            Schedule::ReduceOnPlateau { metric, .. } => Some(metric),
            _ => None,
        }
    }

    /// Returns the learning rate of an epoch, counted from 0.
    #[must_use]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    pub fn rate(&self, epoch: u64) -> f32 {
        match self.schedule {
            Schedule::Constant | Schedule::ReduceOnPlateau { .. } => self.state.rate,
            Schedule::Cosine { warm_up, .. } if epoch < warm_up => {
                self.base * ((epoch + 1) as f32 / (warm_up + 1) as f32)
            }
            Schedule::Cosine { warm_up, min_lr } => {
                let length = self.epochs.saturating_sub(warm_up).max(1) as f64;
                let passed = ((epoch - warm_up) as f64 / length).min(1.0);
                let height = 0.5 + 0.5 * libm::cos(std::f64::consts::PI * passed);
                (f64::from(min_lr) + f64::from(self.base - min_lr) * height) as f32
            }
        }
    }

    /// Records the monitored [`metric`](Self::metric) after an epoch.
    pub fn end_epoch(&mut self, value: Option<f64>) {
        let Schedule::ReduceOnPlateau { metric, factor, patience, min_delta, min_lr } = &self.schedule else {
            return;
        };
        let Some(direction) = Direction::of(metric) else { return };
        let plateau = Plateau { direction, min_delta: *min_delta, patience: *patience };
        if plateau.reached(&mut self.state.plateau, value) {
            // Never raised, even if the base rate is below the minimum.
            self.state.rate = (self.state.rate * factor).max(*min_lr).min(self.state.rate);
            self.state.plateau.wait = 0;
        }
    }

    /// Returns the state to store in a checkpoint.
    #[must_use]
    pub fn state(&self) -> SchedulerState {
        self.state
    }

    /// Restores a stored state.
    pub fn restore(&mut self, state: SchedulerState) {
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule, epochs: u64) -> Vec<f32> {
        let scheduler = Scheduler::new(schedule, 1.0, epochs).unwrap();
        (0..epochs).map(|e| scheduler.rate(e)).collect()
    }

    #[test]
    fn cosine_by_hand() {
        assert_eq!(rates(Schedule::Constant, 3), [1.0; 3]);
        // cos 0, cos 45°, cos 90°, cos 135°.
        let eighth = std::f32::consts::FRAC_1_SQRT_2 / 2.0;
        let close =
            |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-6);
        let plain = rates(Schedule::Cosine { warm_up: 0, min_lr: 0.0 }, 4);
        assert!(close(&plain, &[1.0, 0.5 + eighth, 0.5, 0.5 - eighth]), "{plain:?}");
        let warm = rates(Schedule::Cosine { warm_up: 3, min_lr: 0.2 }, 5);
        assert!(close(&warm, &[0.25, 0.5, 0.75, 1.0, 0.6]), "{warm:?}");
        assert_eq!(
            Scheduler::new(Schedule::Cosine { warm_up: 9, min_lr: 0.0 }, 1.0, 0).unwrap().rate(9),
            1.0
        );
    }

    fn on_plateau() -> Scheduler {
        let schedule = Schedule::ReduceOnPlateau {
            metric: "val_loss".into(),
            factor: 0.5,
            patience: 2,
            min_delta: 1e-4,
            min_lr: 0.2,
        };
        Scheduler::new(schedule, 1.0, 100).unwrap()
    }

    #[test]
    fn plateaus_reduce_as_in_keras() {
        let mut scheduler = on_plateau();
        let mut seen = Vec::new();
        for loss in [1.0, 0.9, 0.9, 0.89995, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8] {
            scheduler.end_epoch(Some(loss));
            seen.push(scheduler.rate(0));
        }
        assert_eq!(seen, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2]);
    }

    #[test]
    fn a_restored_scheduler_reduces_at_the_same_epoch() {
        let mut first = on_plateau();
        [1.0, 1.0].into_iter().for_each(|v| first.end_epoch(Some(v)));
        let mut second = on_plateau();
        second.restore(first.state());
        second.end_epoch(Some(1.0));
        assert_eq!(second.rate(3), 0.5);
    }

    #[test]
    fn only_metrics_can_be_watched() {
        let schedule = Schedule::ReduceOnPlateau {
            metric: "val_speed".into(),
            factor: 0.5,
            patience: 2,
            min_delta: 0.0,
            min_lr: 0.0,
        };
        assert!(Scheduler::new(schedule, 1.0, 1).is_none());
        assert_eq!(on_plateau().metric(), Some("val_loss"));
    }
}
