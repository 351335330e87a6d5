//! Detection of plateaus, for early stopping and the plateau schedule.

/// Direction of improvement of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smaller is better, as for losses.
    Down,
    /// Larger is better, as for accuracy and AUC.
    Up,
}

impl Direction {
    /// Returns the direction of a column of `history.csv`: down for losses, up for accuracy and AUC. `None` if it
    /// is not a metric.
    #[must_use]
    pub fn of(metric: &str) -> Option<Self> {
        match metric.strip_prefix("val_").unwrap_or(metric) {
            "loss" => Some(Self::Down),
            "accuracy" | "auc" => Some(Self::Up),
            _ => None,
        }
    }

    /// Returns true if `value` improves on `best` by more than `min_delta`; false for NaN.
    #[must_use]
    pub fn improves(self, value: f64, best: f64, min_delta: f64) -> bool {
        match self {
            Self::Down => value + min_delta < best,
            Self::Up => value - min_delta > best,
        }
    }
}

/// State of a [`Plateau`], stored in checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlateauState {
    /// Best value so far.
    pub best: Option<f64>,
    /// Number of epochs since the best value.
    pub wait: u64,
}

/// Counter of the epochs since a metric last improved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    /// Direction of improvement.
    pub direction: Direction,
    /// Minimum improvement, in the metric's unit.
    pub min_delta: f64,
    /// Number of epochs without improvement that make a plateau.
    pub patience: u64,
}

impl Plateau {
    /// Records an epoch's value (`None` counts as no improvement) and returns true if a plateau is reached. As in
    /// Keras, a patience of 5 is exhausted at the fifth consecutive epoch without improvement; the first value
    /// always is an improvement.
    #[must_use]
    pub fn reached(&self, state: &mut PlateauState, value: Option<f64>) -> bool {
        let value = value.filter(|v| !v.is_nan());
        let better =
            value.filter(|&v| state.best.is_none_or(|b| self.direction.improves(v, b, self.min_delta)));
        if better.is_some() {
            *state = PlateauState { best: better, wait: 0 };
            return false;
        }
        state.wait += 1;
        state.wait >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_follow_the_name() {
        assert_eq!(Direction::of("val_loss"), Some(Direction::Down));
        assert_eq!(Direction::of("accuracy"), Some(Direction::Up));
        assert_eq!(Direction::of("val_auc"), Some(Direction::Up));
        assert_eq!(Direction::of("epoch"), None);
        assert_eq!(Direction::of("learning_rate"), None);
    }

    #[test]
    fn an_improvement_is_larger_than_min_delta() {
        let plateau = Plateau { direction: Direction::Up, min_delta: 0.25, patience: 1 };
        let mut state = PlateauState::default();
        assert!(!plateau.reached(&mut state, Some(0.5)));
        assert!(plateau.reached(&mut state, Some(0.75)));
        assert!(!plateau.reached(&mut state, Some(0.8125)));
        assert_eq!(state, PlateauState { best: Some(0.8125), wait: 0 });
    }

    #[test]
    fn missing_and_undefined_values_are_no_improvement() {
        let plateau = Plateau { direction: Direction::Down, min_delta: 0.0, patience: 2 };
        let mut state = PlateauState::default();
        assert!(!plateau.reached(&mut state, Some(f64::NAN)));
        assert!(plateau.reached(&mut state, None));
        assert!(!plateau.reached(&mut state, Some(3.0)), "the first number improves on nothing");
    }
}
