//! Is a probability of 80 % right in 80 % of all cases? The expected calibration error (Guo et al. 2017, equation 3).

use crate::trust::audit::{Calibration, ReliabilityBin};

/// Bins of equal width.
const BINS: usize = 10;

/// From each image's highest probability, and whether that class was right; `None` without images.
#[must_use]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn calibration(confidences: &[f64], right: &[bool]) -> Option<Calibration> {
    let mut bins = vec![(0usize, 0.0f64, 0usize); BINS];
    for (&confidence, &right) in confidences.iter().zip(right) {
        // Bins are open below and closed above, as in the paper.
        let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        let (images, sum, hits) = &mut bins[bin];
        *images += 1;
        *sum += confidence;
        *hits += usize::from(right);
    }
    let n = confidences.len().min(right.len()) as f64;
    let filled: Vec<ReliabilityBin> = bins
        .iter()
        .enumerate()
        .filter(|(_, bin)| bin.0 > 0)
        .map(|(k, &(images, sum, hits))| ReliabilityBin {
            from: k as f64 / BINS as f64,
            to: (k + 1) as f64 / BINS as f64,
            images,
            confidence: sum / images as f64,
            accuracy: hits as f64 / images as f64,
        })
        .collect();
    let error = filled.iter().map(|b| b.images as f64 / n * (b.confidence - b.accuracy).abs()).sum();
    (n > 0.0).then_some(Calibration { error, bins: filled })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bins_by_hand() {
        let found = calibration(&[0.9, 0.85, 0.6, 0.55], &[true, false, true, true]).unwrap();
        // (0.8, 0.9]: 0.875 against 0.5; (0.5, 0.6]: 0.575 against 1.
        assert!((found.error - (0.375 + 0.425) / 2.0).abs() < 1e-12, "{found:?}");
        assert_eq!(found.bins.len(), 2);
        assert_eq!((found.bins[0].from, found.bins[0].images), (0.5, 2));
        assert_eq!(calibration(&[1.0, 0.0], &[true, false]).unwrap().error, 0.0);
        assert_eq!(calibration(&[], &[]), None);
    }
}
