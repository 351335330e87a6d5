//! Has a metric stopped improving? The one rule behind early stopping and the plateau schedule.

/// Which way a metric gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smaller is better, as with losses.
    Down,
    /// Larger is better, as with accuracy and AUC.
    Up,
}

impl Direction {
    /// The direction of a column of `history.csv`: losses go down; accuracies and AUCs go up.
    /// `None` for what is not a metric.
    #[must_use]
    pub fn of(metric: &str) -> Option<Self> {
        match metric.strip_prefix("val_").unwrap_or(metric) {
            "loss" => Some(Self::Down),
            "accuracy" | "auc" => Some(Self::Up),
            _ => None,
        }
    }

    /// Whether `value` betters `best` by more than `min_delta`. Not-a-number betters nothing.
    #[must_use]
    pub fn improves(self, value: f64, best: f64, min_delta: f64) -> bool {
        match self {
            Self::Down => value + min_delta < best,
            Self::Up => value - min_delta > best,
        }
    }
}

/// What a [`Plateau`] remembers; goes into checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlateauState {
    /// The best value so far.
    pub best: Option<f64>,
    /// Epochs since then.
    pub wait: u64,
}

/// Counts the epochs since a metric last improved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    /// Which way is better.
    pub direction: Direction,
    /// An improvement must be larger than this, in the metric's unit.
    pub min_delta: f64,
    /// So many epochs without improvement make a plateau.
    pub patience: u64,
}

impl Plateau {
    /// Takes in an epoch's value (`None` if the epoch had none, which is no improvement) and says
    /// whether a plateau is reached. Keras' count: with patience 5 it is reached at the fifth epoch
    /// in a row without improvement; the first value always improves.
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
