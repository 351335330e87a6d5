//! Metrics recorded for every epoch: accuracy and ROC-AUC (from [`crate::stats::classifier`]), and cross-entropy.
//!
//! `logits` have the shape `n k`, before any sigmoid or softmax; k = 1 is a two-class model with one sigmoid
//! output. Labels are class indices. Sums are 64-bit floats in sample order, so they do not depend on threads or
//! batches. Rows without a label are ignored.

use crate::stats::classifier::rows;
pub use crate::stats::classifier::{accuracy, roc_auc};

/// Returns the mean cross-entropy in nats, binary or categorical. Samples are weighted by class (an empty slice: 1
/// each), and the sum is divided by n, as in Keras. `None` without labels; NaN if a label is out of range.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn cross_entropy(logits: &[f32], outputs: usize, labels: &[usize], class_weights: &[f32]) -> Option<f64> {
    let weight = |label: usize| class_weights.get(label).map_or(1.0, |&w| f64::from(w));
    let losses =
        rows(logits, outputs).zip(labels).map(|(row, &label)| weight(label) * sample_loss(row, label));
    let sum: f64 = losses.sum();
    (!labels.is_empty()).then(|| sum / labels.len() as f64)
}

/// Stable for logits of any size: all exponents are ≤ 0.
fn sample_loss(row: &[f32], label: usize) -> f64 {
    if let (&[z], 0 | 1) = (row, label) {
        let z = f64::from(z);
        let miss = if label == 1 { -z } else { z };
        return miss.max(0.0) + (-miss.abs()).exp().ln_1p();
    }
    let Some(&own) = row.get(label).filter(|_| row.len() > 1) else { return f64::NAN };
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted = |z: f32| f64::from(z) - f64::from(largest);
    row.iter().map(|&z| shifted(z).exp()).sum::<f64>().ln() - shifted(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cross_entropy_by_hand_and_at_the_extremes() {
        let close =
            |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-12 * b.max(1.0), "{a:?} {b}");
        close(cross_entropy(&[0.0, 0.0], 1, &[0, 1], &[]), 2f64.ln());
        // Score σ(1) with target 1 and with target 0; weights 1 and 3.
        let (hit, miss) = ((1.0 + (-1f64).exp()).ln(), (1.0 + 1f64.exp()).ln());
        close(cross_entropy(&[1.0, 1.0], 1, &[1, 0], &[3.0, 1.0]), (hit + 3.0 * miss) / 2.0);
        close(cross_entropy(&[1e30], 1, &[0], &[]), f64::from(1e30f32));
        close(cross_entropy(&[-200.0], 1, &[0], &[]), (-200f64).exp());
        close(cross_entropy(&[0.0, 1.0, 2.0], 3, &[1], &[]), (1.0 + 1f64.exp() + (-1f64).exp()).ln());
        close(cross_entropy(&[1000.0, -1000.0], 2, &[1], &[]), 2000.0);
        assert!(cross_entropy(&[0.0], 1, &[2], &[]).unwrap().is_nan());
        assert_eq!(cross_entropy(&[], 1, &[], &[]), None);
    }
}
