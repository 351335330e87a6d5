//! What the model said of all images, and how often it was right.

use crate::train::metric::roc_auc;
use crate::trust::chance::{Evidence, Judgement};
use crate::trust::delong::share_interval;

/// What the model said of one image.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its class, where it is known.
    pub label: Option<usize>,
    /// What the model says.
    pub predicted: usize,
    /// How sure it is.
    pub probability: f64,
    /// Its logits.
    pub logits: Vec<f32>,
}

/// What the model said of all images.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// One for each image.
    pub rows: Vec<Answer>,
}

/// A share with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The share found, from 0 to 1.
    pub value: f64,
    /// Lower end of the 95 % interval (Wilson 1927).
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Share {
    /// `part` of `whole`; anything is possible of nothing.
    #[must_use]
    pub fn of(part: usize, whole: usize) -> Self {
        let nothing = Self { value: 0.0, low: 0.0, high: 1.0 };
        let found = share_interval(part, whole);
        found.map_or(nothing, |found| Self { value: found.mean, low: found.low, high: found.high })
    }
}

/// How sure the model is, beside how often it is right then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Images.
    pub images: usize,
    /// Their mean probability.
    pub sure: f64,
    /// The share of right answers.
    pub right: Share,
}

impl Answers {
    /// Nothing yet, for these classes.
    #[must_use]
    pub fn new(class_names: &[String]) -> Self {
        Self { class_names: class_names.to_vec(), rows: Vec::new() }
    }

    /// Images whose class is known.
    pub fn labelled(&self) -> impl Iterator<Item = (&Answer, usize)> {
        self.rows.iter().filter_map(|row| row.label.map(|label| (row, label)))
    }

    /// Right answers and images with a label; `None` if there are none.
    #[must_use]
    pub fn right(&self) -> Option<(usize, usize)> {
        let of = self.labelled().count();
        let right = self.labelled().filter(|(row, label)| row.predicted == *label).count();
        (of > 0).then_some((right, of))
    }

    /// Whether the model has learned anything, by these images.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        let outputs = self.rows.first().map_or(1, |row| row.logits.len());
        let logits: Vec<f32> = self.labelled().flat_map(|(row, _)| row.logits.iter().copied()).collect();
        let labels: Vec<usize> = self.labelled().map(|(_, label)| label).collect();
        Judgement::of(Evidence {
            logits: &logits,
            outputs,
            labels: &labels,
            class_names: &self.class_names,
            selected_among: 1,
        })
    }

    /// ROC-AUC; with more than two classes the mean of each against the rest. `None` where it is not defined.
    #[must_use]
    pub fn auc(&self) -> Option<f64> {
        let outputs = self.rows.first()?.logits.len();
        let logits: Vec<f32> = self.labelled().flat_map(|(row, _)| row.logits.iter().copied()).collect();
        let labels: Vec<usize> = self.labelled().map(|(_, label)| label).collect();
        roc_auc(&logits, outputs, &labels).filter(|auc| auc.is_finite())
    }

    /// How often each class (row) was called what (column), for the classes that occur; `None` if they are more than
    /// `most`.
    #[must_use]
    pub fn confusion(&self, most: usize) -> Option<(Vec<usize>, Vec<Vec<usize>>)> {
        let mut classes: Vec<usize> =
            self.labelled().flat_map(|(row, label)| [label, row.predicted]).collect();
        classes.sort_unstable();
        classes.dedup();
        if classes.is_empty() || classes.len() > most {
            return None;
        }
        let mut counts = vec![vec![0; classes.len()]; classes.len()];
        for (row, label) in self.labelled() {
            if let (Ok(is), Ok(called)) =
                (classes.binary_search(&label), classes.binary_search(&row.predicted))
            {
                counts[is][called] += 1;
            }
        }
        Some((classes, counts))
    }

    /// Up to ten groups of images from the least to the most sure, each of at least 20.
    #[must_use]
    pub fn calibration(&self) -> Vec<Bin> {
        let mut sure: Vec<(f64, bool)> = self
            .labelled()
            .filter(|(row, _)| row.probability.is_finite())
            .map(|(row, label)| (row.probability, row.predicted == label))
            .collect();
        sure.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bins = (sure.len() / 20).min(10);
        let bin = |b: usize| {
            let group = &sure[b * sure.len() / bins..(b + 1) * sure.len() / bins];
            let right = group.iter().filter(|(_, right)| *right).count();
            let mean = group.iter().map(|(p, _)| p).sum::<f64>() / group.len() as f64;
            Bin { images: group.len(), sure: mean, right: Share::of(right, group.len()) }
        };
        (0..bins).map(bin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(rows: &[(usize, usize, f64)]) -> Answers {
        let row = |&(label, predicted, probability): &(usize, usize, f64)| Answer {
            label: Some(label),
            predicted,
            probability,
            logits: vec![if predicted == 1 { 2.0 } else { -2.0 }],
        };
        let class_names = vec!["a".to_owned(), "b".to_owned()];
        Answers { class_names, rows: rows.iter().map(row).collect() }
    }

    #[test]
    fn the_interval_is_wilsons() {
        // Newcombe 1998, table I: 81 of 263 and 0 of 20.
        let share = Share::of(81, 263);
        assert!((share.low - 0.2553).abs() < 5e-5 && (share.high - 0.3662).abs() < 5e-5, "{share:?}");
        let none = Share::of(0, 20);
        assert!(none.low == 0.0 && (none.high - 0.1611).abs() < 5e-5, "{none:?}");
    }

    #[test]
    fn counting() {
        let mut found = answers(&[(0, 0, 0.9), (0, 1, 0.6), (1, 1, 0.8)]);
        found.rows.push(Answer { label: None, predicted: 1, probability: 0.7, logits: vec![1.0] });
        assert_eq!(found.right(), Some((2, 3)));
        assert_eq!(found.confusion(12), Some((vec![0, 1], vec![vec![1, 1], vec![0, 1]])));
        assert_eq!(found.confusion(1), None);
        assert!(found.calibration().is_empty());
        assert_eq!(answers(&[]).right(), None);
    }

    #[test]
    fn the_area_of_several_classes_is_their_mean() {
        // Class 0 is told apart, the other two are mixed up with each other.
        let rows = [(0, [9.0, 0.0, 0.0]), (1, [0.0, 1.0, 2.0]), (2, [0.0, 2.0, 1.0])];
        let row = |&(label, logits): &(usize, [f32; 3])| Answer {
            label: Some(label),
            predicted: 0,
            probability: 0.5,
            logits: logits.to_vec(),
        };
        let found = Answers { class_names: Vec::new(), rows: rows.iter().map(row).collect() };
        assert_eq!(found.auc(), Some((1.0 + 0.5 + 0.5) / 3.0));
        assert_eq!(answers(&[]).auc(), None);
    }

    #[test]
    fn calibration_goes_from_unsure_to_sure() {
        let rows: Vec<(usize, usize, f64)> =
            (0..40).map(|i| (usize::from(i >= 10), 1, 0.5 + f64::from(i) / 100.0)).collect();
        let bins = answers(&rows).calibration();
        assert_eq!(bins.iter().map(|b| b.images).collect::<Vec<_>>(), [20, 20]);
        assert_eq!((bins[0].right.value, bins[1].right.value), (0.5, 1.0));
        assert!((bins[0].sure - 0.595).abs() < 1e-12);
    }
}
