//! Calibration: expected calibration error and reliability diagram (Guo et al. 2017, equation 3). A calibrated
//! model is correct in 80 % of the cases in which it states a probability of 80 %.
//!
//! The ten bins from 0 to 1 have equal widths, because the published error is defined with them; other bins, such
//! as those with equal numbers of images, would give a different value under the same name. If most images are in
//! the last bin, the others have wide confidence intervals.

use serde_json::{Value, json};

use crate::stats::MeanEstimate;
use crate::stats::interval::share_interval;

/// Number of bins of equal width.
const BINS: usize = 10;
/// Minimum number of images of a reliability diagram; with ten per bin, each share has an uncertainty of ± 30
/// points.
pub const FEWEST: usize = 100;

/// Calibration of a classifier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// Expected calibration error: the mean of |confidence − accuracy| over the bins, weighted by their number of
    /// images.
    pub error: f64,
    /// Non-empty bins, by rising confidence.
    pub bins: Vec<ReliabilityBin>,
}

/// Images with similar confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityBin {
    /// Lower bound of the bin, excluded.
    pub from: f64,
    /// Upper bound of the bin, included.
    pub to: f64,
    /// Number of images.
    pub images: usize,
    /// Mean confidence.
    pub confidence: f64,
    /// Accuracy, with Wilson's interval.
    pub accuracy: MeanEstimate,
}

/// Computes the calibration from each image's confidence and correctness; `None` without images.
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
        .filter_map(|(k, &(images, sum, hits))| {
            Some(ReliabilityBin {
                from: k as f64 / BINS as f64,
                to: (k + 1) as f64 / BINS as f64,
                images,
                confidence: sum / images as f64,
                accuracy: share_interval(hits, images)?,
            })
        })
        .collect();
    let error = filled.iter().map(|b| b.images as f64 / n * (b.confidence - b.accuracy.mean).abs()).sum();
    (n > 0.0).then_some(Calibration { error, bins: filled })
}

impl Calibration {
    /// Returns the number of images in all bins.
    #[must_use]
    pub fn images(&self) -> usize {
        self.bins.iter().map(|b| b.images).sum()
    }

    /// Returns the error and its bins as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let bin = |b: &ReliabilityBin| {
            json!({
                "from": b.from,
                "to": b.to,
                "images": b.images,
                "confidence": b.confidence,
                "accuracy": b.accuracy.mean,
                "accuracy_interval": [b.accuracy.low, b.accuracy.high],
            })
        };
        json!({
            "expected_calibration_error": self.error,
            "bins": self.bins.iter().map(bin).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bins_by_hand() {
        let found = calibration(&[0.9, 0.85, 0.6, 0.55], &[true, false, true, true]).unwrap();
        // (0.8, 0.9]: 0.875 and 0.5; (0.5, 0.6]: 0.575 and 1.
        assert!((found.error - (0.375 + 0.425) / 2.0).abs() < 1e-12, "{found:?}");
        assert_eq!((found.bins.len(), found.images()), (2, 4));
        assert_eq!((found.bins[0].from, found.bins[0].images), (0.5, 2));
        // Wilson's interval for 2 of 2.
        assert!((found.bins[0].accuracy.low - 0.342_372).abs() < 1e-5, "{found:?}");
        assert_eq!(calibration(&[1.0, 0.0], &[true, false]).unwrap().error, 0.0);
        assert_eq!(calibration(&[], &[]), None);
        let json = found.to_json();
        assert_eq!(json["bins"][1]["accuracy"], 0.5);
        assert_eq!(json["bins"][1]["accuracy_interval"][0], found.bins[1].accuracy.low);
    }
}
