//! Confusion matrix.

use std::collections::BTreeMap;

use crate::stats::MeanEstimate;
use crate::stats::interval::share_interval;

/// Number of images by label (row) and prediction (column). Only pairs that occur are stored, so memory grows with
/// the number of images, not of classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfusionMatrix {
    counts: BTreeMap<(usize, usize), usize>,
}

/// A confusion: images of one class predicted as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// Label.
    pub label: usize,
    /// Predicted class.
    pub predicted: usize,
    /// Number of images with this confusion.
    pub images: usize,
    /// Number of images with this label.
    pub of: usize,
}

impl ConfusionMatrix {
    /// Counts the pairs of label and prediction.
    #[must_use]
    pub fn of(labels: &[usize], predicted: &[usize]) -> Self {
        let mut counts = BTreeMap::new();
        for pair in labels.iter().copied().zip(predicted.iter().copied()) {
            *counts.entry(pair).or_default() += 1;
        }
        Self { counts }
    }

    /// Returns the classes that occur as a label or a prediction, in ascending order.
    #[must_use]
    pub fn classes(&self) -> Vec<usize> {
        let mut classes: Vec<usize> = self.counts.keys().flat_map(|&(label, said)| [label, said]).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Returns the number of images with this label and prediction.
    #[must_use]
    pub fn count(&self, label: usize, predicted: usize) -> usize {
        self.counts.get(&(label, predicted)).copied().unwrap_or(0)
    }

    /// Returns the number of images with this label.
    #[must_use]
    pub fn labelled(&self, class: usize) -> usize {
        self.counts.iter().filter(|((label, _), _)| *label == class).map(|(_, n)| n).sum()
    }

    /// Returns the number of images with this prediction.
    #[must_use]
    pub fn predicted(&self, class: usize) -> usize {
        self.counts.iter().filter(|((_, said), _)| *said == class).map(|(_, n)| n).sum()
    }

    /// Returns the recall of a class (sensitivity for the positive class, specificity for the negative), with
    /// Wilson's interval; `None` if the class has no images.
    #[must_use]
    pub fn recall(&self, class: usize) -> Option<MeanEstimate> {
        share_interval(self.count(class, class), self.labelled(class))
    }

    /// Returns the precision of a class, with Wilson's interval; `None` if the class was never predicted.
    #[must_use]
    pub fn precision(&self, class: usize) -> Option<MeanEstimate> {
        share_interval(self.count(class, class), self.predicted(class))
    }

    /// Returns the `most` most frequent confusions, the largest first.
    #[must_use]
    pub fn errors(&self, most: usize) -> Vec<Confusion> {
        let wrong = self.counts.iter().filter(|((label, said), _)| label != said);
        let mut errors: Vec<Confusion> = wrong
            .map(|(&(label, predicted), &images)| Confusion {
                label,
                predicted,
                images,
                of: self.labelled(label),
            })
            .collect();
        errors.sort_by_key(|e| std::cmp::Reverse(e.images)); // stable: ties keep class order
        errors.truncate(most);
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_rates_and_errors_by_hand() {
        let found = ConfusionMatrix::of(&[0, 0, 0, 1, 1, 7], &[0, 1, 1, 1, 7, 0]);
        assert_eq!(found.classes(), [0, 1, 7]);
        assert_eq!(
            (found.count(0, 1), found.count(1, 0), found.labelled(0), found.predicted(1)),
            (2, 0, 3, 3)
        );
        assert_eq!(found.recall(1).map(|e| e.mean), Some(0.5));
        assert_eq!(found.precision(1).map(|e| (e.mean, e.images)), Some((1.0 / 3.0, 3)));
        assert_eq!((found.recall(5), found.precision(5)), (None, None));
        let errors = found.errors(2);
        assert_eq!(errors[0], Confusion { label: 0, predicted: 1, images: 2, of: 3 });
        assert_eq!((errors.len(), errors[1].label), (2, 1));
    }
}
