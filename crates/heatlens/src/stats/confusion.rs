//! The confusion matrix: how often each class was predicted as which.

use std::collections::BTreeMap;

use crate::stats::Estimate;
use crate::stats::interval::share_interval;

/// Counts by label (row) and prediction (column). Only pairs that occur are held, so a thousand classes cost no more
/// than the images they are counted on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfusionMatrix {
    counts: BTreeMap<(usize, usize), usize>,
}

/// One kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// The class of the images.
    pub label: usize,
    /// The class predicted instead.
    pub predicted: usize,
    /// The number of images.
    pub images: usize,
    /// The number of images of the class.
    pub of: usize,
}

impl ConfusionMatrix {
    /// Counts pairs of label and prediction.
    #[must_use]
    pub fn of(labels: &[usize], predicted: &[usize]) -> Self {
        let mut counts = BTreeMap::new();
        for pair in labels.iter().copied().zip(predicted.iter().copied()) {
            *counts.entry(pair).or_default() += 1;
        }
        Self { counts }
    }

    /// The classes that occur as a label or a prediction, rising.
    #[must_use]
    pub fn classes(&self) -> Vec<usize> {
        let mut classes: Vec<usize> = self.counts.keys().flat_map(|&(label, said)| [label, said]).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// The images of class `label` that were predicted as `predicted`.
    #[must_use]
    pub fn count(&self, label: usize, predicted: usize) -> usize {
        self.counts.get(&(label, predicted)).copied().unwrap_or(0)
    }

    /// The images of a class.
    #[must_use]
    pub fn labelled(&self, class: usize) -> usize {
        self.counts.iter().filter(|((label, _), _)| *label == class).map(|(_, n)| n).sum()
    }

    /// The images that were predicted as a class.
    #[must_use]
    pub fn predicted(&self, class: usize) -> usize {
        self.counts.iter().filter(|((_, said), _)| *said == class).map(|(_, n)| n).sum()
    }

    /// The share of a class's images that were recognised (recall; of the positive class: sensitivity, of the
    /// negative: specificity), with Wilson's interval; `None` without images of the class.
    #[must_use]
    pub fn recall(&self, class: usize) -> Option<Estimate> {
        share_interval(self.count(class, class), self.labelled(class))
    }

    /// The share of the images predicted as a class that are of it (precision), with Wilson's interval; `None` if the
    /// class was never predicted.
    #[must_use]
    pub fn precision(&self, class: usize) -> Option<Estimate> {
        share_interval(self.count(class, class), self.predicted(class))
    }

    /// The most frequent errors, at most `most`, the largest first.
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
        errors.sort_by_key(|e| std::cmp::Reverse(e.images)); // stable: equal counts in the order of classes
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
