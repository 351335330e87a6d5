//! Calibration: is a probability of 80 % right in 80 % of all cases? The expected calibration error and the reliability
//! diagram behind it (Guo et al. 2017, equation 3).
//!
//! The bins are of equal width, ten from 0 to 1, because the published error is defined by them: other bins, for
//! instance of equal numbers of images, give another number by the same name. Where most images are in the last bin, the
//! others hold few, and their wide intervals say so.

use serde_json::{Value, json};

use crate::stats::Estimate;
use crate::stats::interval::share_interval;

/// Bins of equal width.
const BINS: usize = 10;
/// Fewer images than this make no reliability diagram: with ten to a bin, each share is known to ± 30 points.
pub const FEWEST: usize = 100;

/// How far stated probabilities are from shares of right answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// The expected calibration error: the mean of |confidence − accuracy| over the bins, weighted by their images.
    pub error: f64,
    /// The bins that hold images, by rising confidence.
    pub bins: Vec<ReliabilityBin>,
}

/// Images whose predicted class got about the same probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityBin {
    /// The lowest confidence of the bin.
    pub from: f64,
    /// The highest confidence of the bin.
    pub to: f64,
    /// The number of images.
    pub images: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that the model got right, with Wilson's interval.
    pub accuracy: Estimate,
}

/// Bins each image's highest probability with whether that class was right; `None` without images.
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
    /// The number of images in all bins.
    #[must_use]
    pub fn images(&self) -> usize {
        self.bins.iter().map(|b| b.images).sum()
    }

    /// The error and its bins.
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
        // (0.8, 0.9]: 0.875 against 0.5; (0.5, 0.6]: 0.575 against 1.
        assert!((found.error - (0.375 + 0.425) / 2.0).abs() < 1e-12, "{found:?}");
        assert_eq!((found.bins.len(), found.images()), (2, 4));
        assert_eq!((found.bins[0].from, found.bins[0].images), (0.5, 2));
        // Wilson for 2 of 2.
        assert!((found.bins[0].accuracy.low - 0.342_372).abs() < 1e-5, "{found:?}");
        assert_eq!(calibration(&[1.0, 0.0], &[true, false]).unwrap().error, 0.0);
        assert_eq!(calibration(&[], &[]), None);
        let json = found.to_json();
        assert_eq!(json["bins"][1]["accuracy"], 0.5);
        assert_eq!(json["bins"][1]["accuracy_interval"][0], found.bins[1].accuracy.low);
    }
}
