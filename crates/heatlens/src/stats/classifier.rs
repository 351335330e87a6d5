//! Predicted classes, accuracy and ROC-AUC of a classifier's scores.
//!
//! `logits` have the shape `n k`, before any sigmoid or softmax; k = 1 is a two-class model with one sigmoid
//! output. Labels are class indices. Sums are 64-bit floats in sample order, so they do not depend on threads or
//! batches. Rows without a label are ignored.

/// Returns the predicted class: 1 if z > 0 for a single output (Keras' probability > 0.5), otherwise the first of
/// the largest logits. `None` if a logit is NaN or there are no logits.
#[must_use]
pub fn predicted_class(logits: &[f32]) -> Option<usize> {
    if logits.iter().any(|z| z.is_nan()) {
        return None;
    }
    if let [z] = logits {
        return Some(usize::from(*z > 0.0));
    }
    let first_largest = |best: usize, k: usize| if logits[k] > logits[best] { k } else { best };
    (0..logits.len()).reduce(first_largest)
}

/// Returns the number of correct predictions. A row with a NaN is incorrect.
#[must_use]
pub fn right_predictions(logits: &[f32], outputs: usize, labels: &[usize]) -> usize {
    let right = |pair: &(&[f32], &usize)| predicted_class(pair.0) == Some(*pair.1);
    rows(logits, outputs).zip(labels).filter(right).count()
}

/// Returns the accuracy; `None` without labels.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn accuracy(logits: &[f32], outputs: usize, labels: &[usize]) -> Option<f64> {
    let right = right_predictions(logits, outputs, labels) as f64;
    (!labels.is_empty()).then(|| right / labels.len() as f64)
}

/// Returns the probability that a random sample of class 1 scores above one of class 0, with ties counting half:
/// the Mann–Whitney statistic divided by its maximum, exact. `None` if a class is absent or a score is NaN.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn binary_auc(scores: &[f32], positive: &[bool]) -> Option<f64> {
    let n1 = positive.iter().filter(|&&p| p).count() as f64;
    let n0 = positive.len() as f64 - n1;
    if n0 == 0.0 || n1 == 0.0 {
        return None;
    }
    let ranks = doubled_ranks(scores)?;
    let sum: u64 = ranks.iter().zip(positive).filter(|(_, p)| **p).map(|(r, _)| r).sum();
    Some((sum as f64 / 2.0 - n1 * (n1 + 1.0) / 2.0) / (n0 * n1))
}

/// Returns the ROC-AUC of a model: of a single logit, or of the second minus the first of two; with more classes,
/// the one-vs-rest mean over the classes that occur. `None` if only one class occurs or a score is NaN.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn roc_auc(logits: &[f32], outputs: usize, labels: &[usize]) -> Option<f64> {
    let classes = outputs.max(2);
    let mut sum = (0.0, 0u32);
    for class in if classes == 2 { 1..2 } else { 0..classes } {
        let positive: Vec<bool> = labels.iter().map(|&l| l == class).collect();
        if classes > 2 && !positive.contains(&true) {
            continue;
        }
        let auc = binary_auc(&class_scores(logits, outputs, class), &positive)?;
        sum = (sum.0 + auc, sum.1 + 1);
    }
    (sum.1 > 0).then(|| sum.0 / f64::from(sum.1))
}

/// Returns the ranking score of a class for each sample: its logit minus the log-sum-exp of the others. The order
/// is that of the class probability, without its rounding to 0 and 1.
#[must_use]
#[allow(clippy::cast_possible_truncation)]
pub fn class_scores(logits: &[f32], outputs: usize, class: usize) -> Vec<f32> {
    let score = |row: &[f32]| match row {
        [z] => {
            if class == 1 {
                *z
            } else {
                -z
            }
        }
        row => {
            let others = || row.iter().enumerate().filter(|(k, _)| *k != class).map(|(_, &z)| z);
            let largest = others().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = others().map(|z| (f64::from(z) - f64::from(largest)).exp()).sum();
            let own = row.get(class).copied().unwrap_or(f32::NAN);
            (f64::from(own) - f64::from(largest) - sum.ln()) as f32
        }
    };
    rows(logits, outputs).map(score).collect()
}

/// Returns twice the rank of every score, starting at 1, with mean ranks for ties, as integers. `None` if a score
/// is NaN.
pub(crate) fn doubled_ranks(scores: &[f32]) -> Option<Vec<u64>> {
    if scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // By value, so that −0 ties with 0.
    order.sort_by(|&a, &b| scores[a].partial_cmp(&scores[b]).unwrap_or(std::cmp::Ordering::Equal));
    let mut ranks = vec![0; scores.len()];
    let mut before = 0u64;
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let count = tied.len() as u64;
        for &i in tied {
            ranks[i] = 2 * before + count + 1;
        }
        before += count;
    }
    Some(ranks)
}

pub(crate) fn rows(logits: &[f32], outputs: usize) -> std::slice::ChunksExact<'_, f32> {
    logits.chunks_exact(outputs.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Key, Use};

    #[test]
    fn predictions_and_accuracy() {
        assert_eq!(accuracy(&[0.1, -0.1, 0.0, f32::NAN], 1, &[1, 0, 1, 1]), Some(0.5));
        assert_eq!(accuracy(&[1.0, 1.0, 0.5, 0.0, 2.0, 3.0], 3, &[0, 2]), Some(1.0));
        assert_eq!(accuracy(&[], 1, &[]), None);
        assert_eq!(predicted_class(&[]), None);
    }

    /// The definition over all pairs.
    fn naive_auc(scores: &[f32], positive: &[bool]) -> f64 {
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (a, _) in scores.iter().zip(positive).filter(|(_, p)| **p) {
            for (b, _) in scores.iter().zip(positive).filter(|(_, p)| !**p) {
                pairs += 1.0;
                sum += if a > b { 1.0 } else { f64::from(u8::from(a == b)) / 2.0 };
            }
        }
        sum / pairs
    }

    #[test]
    fn auc_is_the_share_of_ordered_pairs() {
        for case in 0..50 {
            let mut rng = Key::new(1, Use::Shuffle).at(case).rng();
            let levels = 2 + rng.below(20);
            #[allow(clippy::cast_precision_loss)]
            let scores: Vec<f32> = (0..30).map(|_| rng.below(levels) as f32 - 5.0).collect();
            let mut positive: Vec<bool> = (0..30).map(|_| rng.coin()).collect();
            (positive[0], positive[1]) = (true, false);
            let (fast, slow) = (binary_auc(&scores, &positive).unwrap(), naive_auc(&scores, &positive));
            assert!((fast - slow).abs() < 1e-14, "{fast} {slow}");
        }
        assert_eq!(binary_auc(&[0.0, -0.0], &[true, false]), Some(0.5));
        assert_eq!(binary_auc(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(binary_auc(&[1.0, f32::NAN], &[true, false]), None);
    }

    #[test]
    fn auc_of_several_outputs() {
        assert_eq!(roc_auc(&[1.0, 2.0, 3.0], 1, &[0, 1, 1]), Some(1.0));
        // z₁ − z₀ = 1, 0, −1: reversed order.
        assert_eq!(roc_auc(&[0.0, 1.0, 5.0, 5.0, 1.0, 0.0], 2, &[0, 0, 1]), Some(0.0));
        // Classes 0 and 1 are perfectly separated from the rest; class 2 does not occur.
        assert_eq!(roc_auc(&[9.0, 0.0, 0.0, 0.0, 9.0, 0.0], 3, &[0, 1]), Some(1.0));
        assert_eq!(roc_auc(&[9.0, 0.0, 0.0], 3, &[0]), None);
        // Saturated probabilities still rank.
        assert_eq!(roc_auc(&[100.0, 0.0, 0.0, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0], 3, &[1, 0, 1]), Some(1.0));
    }
}
