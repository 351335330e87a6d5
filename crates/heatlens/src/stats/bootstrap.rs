//! Percentile bootstrap of means over images (Efron 1979).

use crate::random::Key;
use crate::stats::MeanEstimate;

/// Number of bootstrap samples.
const DRAWS: usize = 1000;

/// Resampled images, the same for all estimates, so that differences are paired.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    images: usize,
    draws: Vec<u32>,
}

impl Bootstrap {
    /// Draws 1000 bootstrap samples of `images` images.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn new(images: usize, key: Key) -> Self {
        let mut rng = key.rng();
        Self { images, draws: (0..DRAWS * images).map(|_| rng.below(images) as u32).collect() }
    }

    /// Returns the mean of the available values, one per image, with its 95 % interval; `None` if all are missing.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn mean(&self, values: &[Option<f64>]) -> Option<MeanEstimate> {
        let mean_of = |chosen: &mut dyn Iterator<Item = usize>| {
            let (mut sum, mut count) = (0.0, 0usize);
            for value in chosen.filter_map(|i| values.get(i).copied().flatten()) {
                (sum, count) = (sum + value, count + 1);
            }
            (count > 0).then(|| sum / count as f64)
        };
        let mean = mean_of(&mut (0..values.len()))?;
        let chosen = |draw: &[u32]| mean_of(&mut draw.iter().map(|&i| i as usize));
        let mut means: Vec<f64> = self.draws.chunks(self.images.max(1)).filter_map(chosen).collect();
        means.sort_by(f64::total_cmp);
        let at = |share: f64| quantile(&means, share).unwrap_or(mean);
        let images = values.iter().flatten().count();
        Some(MeanEstimate { mean, low: at(0.025), high: at(0.975), images })
    }
}

/// Returns the quantile of ascending values, linearly interpolated (numpy's default).
#[must_use]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn quantile(rising: &[f64], share: f64) -> Option<f64> {
    let at = share.clamp(0.0, 1.0) * rising.len().checked_sub(1)? as f64;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    Some(rising[below] + (at - at.floor()) * (rising[above] - rising[below]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Use;

    #[test]
    fn the_interval_of_a_mean_is_two_standard_errors_wide_each_way() {
        let mut rng = Key::new(3, Use::Audit).rng();
        let values: Vec<Option<f64>> = (0..400).map(|_| Some(5.0 + rng.normal())).collect();
        let found = Bootstrap::new(400, Key::new(1, Use::Audit)).mean(&values).unwrap();
        assert!((found.high - found.low - 4.0 * 0.05).abs() < 0.03, "{found:?}");
        assert!(found.low < 5.0 && 5.0 < found.high);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn what_is_missing_does_not_count() {
        let bootstrap = Bootstrap::new(3, Key::new(1, Use::Audit));
        let found = bootstrap.mean(&[Some(1.0), None, Some(1.0)]).unwrap();
        assert_eq!(found, MeanEstimate { mean: 1.0, low: 1.0, high: 1.0, images: 2 });
        assert_eq!(bootstrap.mean(&[None; 3]), None);
        assert_eq!(Bootstrap::new(0, Key::new(1, Use::Audit)).mean(&[]), None);
    }
}
