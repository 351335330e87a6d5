//! Estimates with 95 % confidence intervals, and the interval of a share.

use serde_json::{Value, json};

/// Half-width of a 95 % interval of a normal distribution, in standard errors.
pub(crate) const NORMAL_975: f64 = 1.959_963_984_540_054;

/// A mean over several images, with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanEstimate {
    /// Mean over the images.
    pub mean: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// Number of images.
    pub images: usize,
}

impl MeanEstimate {
    /// Returns mean, interval and number of images as JSON.
    #[must_use]
    pub fn to_json(self) -> Value {
        json!({ "mean": self.mean, "low": self.low, "high": self.high, "images": self.images })
    }

    /// Parses the output of [`to_json`](Self::to_json); `None` if it is malformed.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let number = |key: &str| value[key].as_f64();
        let images = usize::try_from(value["images"].as_u64()?).ok()?;
        Some(Self { mean: number("mean")?, low: number("low")?, high: number("high")?, images })
    }
}

/// Returns the share of successes with its 95 % interval (Wilson 1927); `None` without trials.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn share_interval(successes: usize, trials: usize) -> Option<MeanEstimate> {
    let (n, p) = (trials as f64, successes as f64 / trials as f64);
    let z = NORMAL_975;
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let at = |v: f64| v.clamp(0.0, 1.0);
    (trials > 0).then(|| MeanEstimate {
        mean: p,
        low: at(centre - half),
        high: at(centre + half),
        images: trials,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_by_hand() {
        // statsmodels: proportion_confint(8, 10, method="wilson").
        let found = share_interval(8, 10).unwrap();
        assert!(
            (found.low - 0.490_162_472).abs() < 1e-8 && (found.high - 0.943_317_849).abs() < 1e-8,
            "{found:?}"
        );
        assert_eq!(share_interval(0, 0), None);
    }
}
