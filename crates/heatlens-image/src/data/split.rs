//! Selection of held-out items for validation.

use std::str::FromStr;

use super::DataError;
use crate::nearest::{Named, name_of, named};
use crate::random::{Key, Use};

/// Method of selecting the validation items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The same fraction of every class, selected at random by the seed.
    Stratified,
    /// The last items in file order, as in Keras' `validation_split`.
    Last,
}

impl Split {
    /// All methods, with their names on the command line.
    pub const ALL: [Named<Self>; 2] = [
        ("stratified", "The same fraction of every class, drawn at random", Self::Stratified),
        ("last", "The last ones, as Keras' validation_split does", Self::Last),
    ];

    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&self, &Self::ALL)
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(word, Self::ALL)
    }
}

/// Training and validation items, each in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitIndices {
    /// Items to train on.
    pub train: Vec<usize>,
    /// Held-out items.
    pub validation: Vec<usize>,
}

impl Split {
    /// Splits items with the classes `labels`, holding out `fraction` (0 ≤ `fraction` < 1) of them.
    ///
    /// `Last` trains on the first `⌊n · (1 − fraction)⌋` items, as in Keras. `Stratified` holds out `fraction` of each
    /// class, rounded, and keeps at least one item of every class on both sides if the class has two; a class with a
    /// single item is used for training. With fraction 0 nothing is held out.
    pub fn apply(self, labels: &[usize], fraction: f64, seed: u64) -> Result<SplitIndices, DataError> {
        if !(0.0..1.0).contains(&fraction) {
            return Err(DataError::Split {
                reason: format!("the fraction is {fraction}, expected 0 or more and less than 1"),
            });
        }
        let split = match self {
            _ if fraction == 0.0 => {
                SplitIndices { train: (0..labels.len()).collect(), validation: Vec::new() }
            }
            Self::Last => last(labels.len(), fraction),
            Self::Stratified => stratified(labels, fraction, seed),
        };
        let empty = if split.train.is_empty() {
            "training"
        } else if split.validation.is_empty() && fraction > 0.0 {
            "validation"
        } else {
            return Ok(split);
        };
        let reason = format!("a fraction of {fraction} of {} items leaves nothing for {empty}", labels.len());
        Err(DataError::Split { reason })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count, in 0..=n")]
fn last(n: usize, fraction: f64) -> SplitIndices {
    let train = (n as f64 * (1.0 - fraction)) as usize;
    SplitIndices { train: (0..train).collect(), validation: (train..n).collect() }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count, in 0..=n")]
fn stratified(labels: &[usize], fraction: f64, seed: u64) -> SplitIndices {
    let mut classes = std::collections::BTreeMap::<usize, Vec<usize>>::new();
    for (item, &label) in labels.iter().enumerate() {
        classes.entry(label).or_default().push(item);
    }
    let mut split = SplitIndices { train: Vec::new(), validation: Vec::new() };
    for (&class, items) in &mut classes {
        // One random stream per class: the selection in one class does not depend on the others.
        Key::new(seed, Use::Split).at(class as u64).rng().shuffle(items);
        let wanted = (items.len() as f64 * fraction).round() as usize;
        let held_out = if items.len() < 2 { 0 } else { wanted.clamp(1, items.len() - 1) };
        let (validation, train) = items.split_at(held_out);
        split.validation.extend_from_slice(validation);
        split.train.extend_from_slice(train);
    }
    split.train.sort_unstable();
    split.validation.sort_unstable();
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_is_keras_arithmetic() {
        let split = Split::Last.apply(&[0; 2000], 0.05, 0).unwrap();
        assert_eq!((split.train.len(), split.validation.len()), (1900, 100));
        assert_eq!(split.validation, (1900..2000).collect::<Vec<_>>());
        // ⌊103 · 0.9⌋ = 92: the validation side is rounded up.
        assert_eq!(Split::Last.apply(&[0; 103], 0.1, 0).unwrap().train.len(), 92);
    }

    #[test]
    fn stratified_keeps_the_share_of_each_class() {
        let labels: Vec<usize> = (0..1000).map(|i| usize::from(i % 10 == 0)).collect();
        let split = Split::Stratified.apply(&labels, 0.2, 7).unwrap();
        let ones = |items: &[usize]| items.iter().filter(|&&i| labels[i] == 1).count();
        assert_eq!((split.validation.len(), ones(&split.validation)), (200, 20));
        assert_eq!((split.train.len(), ones(&split.train)), (800, 80));
        let mut all = [split.train.clone(), split.validation.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert_ne!(split.validation, (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let labels = [0, 1].repeat(50);
        let split = |seed| Split::Stratified.apply(&labels, 0.3, seed).unwrap();
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
    }

    #[test]
    fn every_class_stays_on_both_sides() {
        let split = Split::Stratified.apply(&[0, 0, 0, 0, 0, 0, 1, 1, 2], 0.05, 0).unwrap();
        assert!(split.validation.iter().any(|&i| i < 6));
        assert!(split.validation.contains(&6) ^ split.validation.contains(&7));
        assert!(split.train.contains(&8));
    }

    #[test]
    fn an_empty_side_is_an_error() {
        assert!(Split::Last.apply(&[0, 1], 0.9, 0).unwrap_err().to_string().contains("nothing for training"));
        assert!(Split::Stratified.apply(&[0, 1], 0.5, 0).is_err());
        assert!(Split::Last.apply(&[0, 1], 1.0, 0).is_err());
        assert!(Split::Last.apply(&[0, 1], f64::NAN, 0).is_err());
        assert!(Split::Last.apply(&[0, 1], 0.0, 0).unwrap().validation.is_empty());
    }
}
