//! Early stopping.

use super::plateau::{Direction, Plateau, PlateauState};

/// Stops training when a metric has not improved for a while, with the semantics of Keras.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping {
    metric: String,
    plateau: Plateau,
    state: PlateauState,
}

impl EarlyStopping {
    /// Monitors a metric, given as a column of `history.csv` such as `loss` or `val_accuracy`. Stops at the
    /// `patience`-th consecutive epoch that does not improve the best value by more than `min_delta` (≥ 0). `None`
    /// if there is no such metric.
    #[must_use]
    pub fn new(metric: &str, patience: u64, min_delta: f64) -> Option<Self> {
        let direction = Direction::of(metric)?;
        let plateau = Plateau { direction, min_delta, patience };
        Some(Self { metric: metric.to_owned(), plateau, state: PlateauState::default() })
    }

    /// Returns the monitored metric.
    #[must_use]
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// Records the metric of an epoch; returns true if training should stop.
    #[must_use]
    pub fn stops(&mut self, value: Option<f64>) -> bool {
        self.plateau.reached(&mut self.state, value)
    }

    /// Returns the state to store in a checkpoint.
    #[must_use]
    pub fn state(&self) -> PlateauState {
        self.state
    }

    /// Restores a stored state.
    pub fn restore(&mut self, state: PlateauState) {
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the epoch (from 1) after which training stops.
    fn stop_epoch(metric: &str, patience: u64, values: &[f64]) -> Option<usize> {
        let mut stopping = EarlyStopping::new(metric, patience, 0.0).unwrap();
        values.iter().position(|&v| stopping.stops(Some(v))).map(|i| i + 1)
    }

    #[test]
    fn patience_counts_as_in_keras() {
        // Best at epoch 2; epochs 3 to 7 are the five without improvement.
        let loss = [0.70, 0.69, 0.691, 0.692, 0.69, 0.693, 0.7, 0.6];
        assert_eq!(stop_epoch("loss", 5, &loss), Some(7));
        assert_eq!(stop_epoch("loss", 6, &loss), None);
        assert_eq!(stop_epoch("val_accuracy", 2, &[0.5, 0.6, 0.6, 0.5]), Some(4));
        assert_eq!(stop_epoch("val_accuracy", 2, &[0.5, 0.6, 0.6, 0.7]), None);
        assert_eq!(stop_epoch("loss", 0, &[1.0, 0.9, 0.8]), None);
        assert_eq!(stop_epoch("loss", 0, &[1.0, 0.9, 0.9]), Some(3));
    }

    #[test]
    fn only_metrics_can_be_watched() {
        assert!(EarlyStopping::new("epoch", 5, 0.0).is_none());
        assert!(EarlyStopping::new("val_f1", 5, 0.0).is_none());
    }

    #[test]
    fn a_restored_state_stops_at_the_same_epoch() {
        let mut first = EarlyStopping::new("loss", 3, 0.0).unwrap();
        assert!(![0.5, 0.6, 0.6].map(|v| first.stops(Some(v))).contains(&true));
        let mut second = EarlyStopping::new("loss", 3, 0.0).unwrap();
        second.restore(first.state());
        assert!(second.stops(Some(0.5)));
    }
}
