//! Class weights in the loss.

use std::fmt;

use std::str::FromStr;
use thiserror::Error;

/// Choice of class weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeight {
    /// Weight 1 for every sample.
    #[default]
    None,
    /// Weight n / (k · nₖ), so that each of the k classes has the same total weight and the mean weight of a sample
    /// is 1 (King and Zeng 2001, as in scikit-learn's `balanced`).
    Balanced,
    /// Explicit weights in class order.
    Explicit(Vec<f32>),
}

impl fmt::Display for ClassWeight {
    /// Formats the choice as on the command line: `none`, `balanced`, or comma-separated numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Balanced => f.write_str("balanced"),
            Self::Explicit(weights) => {
                let weights: Vec<String> = weights.iter().map(f32::to_string).collect();
                f.write_str(&weights.join(","))
            }
        }
    }
}

impl FromStr for ClassWeight {
    type Err = String;

    /// Parses the output of `Display`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "balanced" => Ok(Self::Balanced),
            numbers => {
                let weights: Result<_, _> = numbers.split(',').map(|n| n.trim().parse()).collect();
                let wrong =
                    || format!("expected none, balanced, or numbers such as 1,2.5, found {numbers:?}");
                weights.map(Self::Explicit).map_err(|_| wrong())
            }
        }
    }
}

impl ClassWeight {
    /// Returns the weight of each class, given the number of training samples of each.
    ///
    /// # Errors
    /// If classes are to be balanced and one has no samples, or the explicit weights are not one finite number ≥ 0
    /// per class with at least one above 0.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    pub fn weights(&self, counts: &[usize]) -> Result<Vec<f32>, ClassWeightError> {
        match self {
            Self::None => Ok(vec![1.0; counts.len()]),
            Self::Balanced => {
                if let Some(class) = counts.iter().position(|&n| n == 0) {
                    return Err(ClassWeightError::EmptyClass { class });
                }
                let share = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
                Ok(counts.iter().map(|&n| (share / n as f64) as f32).collect())
            }
            Self::Explicit(weights) => {
                if weights.len() != counts.len() {
                    return Err(ClassWeightError::Count { found: weights.len(), expected: counts.len() });
                }
                let bad = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0));
                // If all weights were 0, there would be nothing to learn.
                let bad = bad.or_else(|| weights.iter().all(|w| *w == 0.0).then_some(0));
                match bad {
                    Some(class) if class < weights.len() => {
                        Err(ClassWeightError::Value { class, found: weights[class] })
                    }
                    _ => Ok(weights.clone()),
                }
            }
        }
    }
}

/// Reason why class weights are not available.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum ClassWeightError {
    /// A class without samples cannot be balanced.
    #[error(
        "class {class} has no training sample, so classes can't be balanced; add samples or give the weights explicitly"
    )]
    EmptyClass {
        /// Index of the class.
        class: usize,
    },
    /// The number of weights does not match the number of classes.
    #[error("found {found} class weights, expected {expected}, one for each class in order")]
    Count {
        /// Number of weights given.
        found: usize,
        /// Number of classes.
        expected: usize,
    },
    /// A weight is negative or not finite, or all weights are 0.
    #[error(
        "the weight of class {class} is {found}, expected finite weights of 0 or more, not all of them 0"
    )]
    Value {
        /// Index of the class.
        class: usize,
        /// Weight of the class.
        found: f32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_classes_weigh_the_same_in_total() {
        assert_eq!(ClassWeight::None.weights(&[3, 1]), Ok(vec![1.0, 1.0]));
        // 8 / (2 · 6) and 8 / (2 · 2).
        assert_eq!(ClassWeight::Balanced.weights(&[6, 2]), Ok(vec![2.0 / 3.0, 2.0]));
        assert_eq!(ClassWeight::Balanced.weights(&[6, 0]), Err(ClassWeightError::EmptyClass { class: 1 }));
    }

    #[test]
    fn explicit_weights_are_checked() {
        let explicit = |w: &[f32]| ClassWeight::Explicit(w.to_vec()).weights(&[5, 5]);
        assert_eq!(explicit(&[0.0, 2.5]), Ok(vec![0.0, 2.5]));
        assert_eq!(explicit(&[1.0]), Err(ClassWeightError::Count { found: 1, expected: 2 }));
        assert_eq!(explicit(&[1.0, -1.0]), Err(ClassWeightError::Value { class: 1, found: -1.0 }));
        assert_eq!(explicit(&[0.0, 0.0]), Err(ClassWeightError::Value { class: 0, found: 0.0 }));
        assert!(explicit(&[1.0, f32::INFINITY]).is_err());
        assert_eq!(ClassWeight::Explicit(vec![]).weights(&[]), Ok(vec![]));
    }
}
