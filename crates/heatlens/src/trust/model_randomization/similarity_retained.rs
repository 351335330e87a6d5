//! Similarity retained under random weights, with the confidence interval that decides the verdict.

use serde_json::{Value, json};

use crate::random::{Key, Rng};
use crate::stats::MeanEstimate;
use crate::stats::bootstrap::quantile;

/// Number of bootstrap draws.
const DRAWS: usize = 1000;
/// Maximum share of similarity that may be retained. Chosen on 22 networks, between Grad-CAM and the gradient (at
/// most 0.35 retained) and guided backpropagation (at least 0.48), and validated on others: docs/trust.md.
pub(crate) const LINE: f64 = 1.0 / 3.0;
/// Similarity above which pictures are identical up to rounding.
const THE_SAME: f64 = 1.0 - 1e-6;

/// Similarity of maps across networks. All values are similarities, 1 for identical pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimilarityRetained {
    /// Same image, different weights.
    pub same_image: f64,
    /// Different image, different weights: similarity of any two maps of the method, due to borders for instance.
    pub other_image: f64,
    /// Same weights, same image with imperceptible noise: upper bound of the method's similarity.
    pub own: f64,
    /// Lead of `same_image` over the line a third of the way from `other_image` to `own`; the interval covers
    /// images and random networks.
    pub lead: MeanEstimate,
}

/// Two networks compared image by image.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    /// Indices of the networks; 0 is the model, the others have random weights.
    pub(super) networks: [usize; 2],
    /// Similarity of the maps of the same image.
    pub(super) same: Vec<f64>,
    /// Similarity of the maps of different images.
    pub(super) other: Vec<f64>,
}

impl SimilarityRetained {
    /// Returns the share retained of the similarity beyond that of maps for different images, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        let Self { same_image, other_image, own, .. } = *self;
        if same_image >= own {
            1.0
        } else {
            ((same_image - other_image) / (own - other_image)).clamp(0.0, 1.0)
        }
    }

    /// Returns true if significantly more than a third is retained, or the maps do not change at all.
    #[must_use]
    pub fn too_much(&self) -> bool {
        self.lead.low > 0.0 || self.same_image > THE_SAME
    }

    /// Computes the result from comparisons and the self-similarity by network and image; `None` without
    /// comparisons.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn of(comparisons: &[Comparison], own: &[Vec<f64>], key: Key) -> Option<Self> {
        let images = comparisons.first()?.same.len();
        let own = |c: &Comparison, i: usize| c.networks.map(|n| own[n][i]).iter().sum::<f64>() / 2.0;
        let lead = |c: &Comparison, i: usize| c.same[i] - (c.other[i] + LINE * (own(c, i) - c.other[i]));
        let mean = |of: &dyn Fn(&Comparison, usize) -> f64| {
            let all = comparisons.iter().flat_map(|c| (0..images).map(|i| of(c, i)));
            all.sum::<f64>() / (comparisons.len() * images) as f64
        };
        let mut rng = key.rng();
        let mut drawn: Vec<f64> = (0..DRAWS)
            .filter_map(|_| {
                let weights = network_weights(comparisons, &mut rng);
                let chosen: Vec<usize> = (0..images).map(|_| rng.below(images)).collect();
                let weighted = comparisons.iter().zip(&weights).filter(|(_, w)| **w > 0.0);
                let sum: f64 =
                    weighted.map(|(c, w)| w * chosen.iter().map(|&i| lead(c, i)).sum::<f64>()).sum();
                let total = weights.iter().sum::<f64>() * images as f64;
                // A resample that repeats a single network has no pairs to compare.
                (total > 0.0).then(|| sum / total)
            })
            .collect();
        drawn.sort_by(f64::total_cmp);
        let mean_lead = mean(&lead);
        let at = |share: f64| quantile(&drawn, share).unwrap_or(mean_lead);
        Some(Self {
            same_image: mean(&|c, i| c.same[i]),
            other_image: mean(&|c, i| c.other[i]),
            own: mean(&own),
            lead: MeanEstimate { mean: mean_lead, low: at(0.025), high: at(0.975), images },
        })
    }

    pub(crate) fn to_json(self) -> Value {
        json!({
            "same_image": self.same_image,
            "other_image": self.other_image,
            "own": self.own,
            "share": self.share(),
            "lead": self.lead.to_json(),
        })
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let number = |key: &str| value[key].as_f64();
        Some(Self {
            same_image: number("same_image")?,
            other_image: number("other_image")?,
            own: number("own")?,
            lead: MeanEstimate::from_json(&value["lead"])?,
        })
    }
}

/// Returns the weight of each comparison after resampling the random networks; the model (0) is always included.
fn network_weights(comparisons: &[Comparison], rng: &mut Rng) -> Vec<f64> {
    let random = comparisons.iter().flat_map(|c| c.networks).max().unwrap_or(0);
    let mut times = vec![0.0; random + 1];
    times[0] = 1.0;
    (0..random).for_each(|_| times[1 + rng.below(random)] += 1.0);
    comparisons.iter().map(|c| c.networks.iter().map(|&n| times[n]).product()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Use;

    /// Five random networks and twelve images; the values vary by `spread` between networks.
    fn kept(same: f64, other: f64, own: f64, spread: f64) -> SimilarityRetained {
        let mut rng = Key::new(4, Use::Audit).rng();
        let pairs = (1..=5).flat_map(|a| (a + 1..=5).map(move |b| [a, b]));
        let comparison = |networks| {
            let shift = spread * rng.normal();
            let mut around = |mean: f64| (0..12).map(|_| mean + 0.01 * rng.normal()).collect::<Vec<f64>>();
            Comparison { networks, same: around(same + shift), other: around(other) }
        };
        let comparisons: Vec<Comparison> = pairs.map(comparison).collect();
        SimilarityRetained::of(&comparisons, &vec![vec![own; 12]; 6], Key::new(1, Use::Audit)).unwrap()
    }

    #[test]
    fn more_than_a_third_is_too_much() {
        let found = kept(0.6, 0.1, 0.9, 0.0);
        assert!((found.share() - 0.625).abs() < 0.01 && found.too_much(), "{found:?}");
        assert!(kept(0.38, 0.1, 0.9, 0.0).too_much() && !kept(0.35, 0.1, 0.9, 0.0).too_much());
        assert!(!kept(0.05, 0.1, 0.9, 0.0).too_much());
        assert_eq!(kept(0.05, 0.2, 0.9, 0.0).share(), 0.0);
        assert_eq!(SimilarityRetained::from_json(&found.to_json()), Some(found));
    }

    #[test]
    fn networks_that_differ_widely_decide_nothing() {
        let found = kept(0.42, 0.1, 0.9, 0.4);
        assert!(found.lead.low < 0.0 && found.lead.high > 0.0 && !found.too_much(), "{found:?}");
        let certain = kept(0.42, 0.1, 0.9, 0.0);
        assert!(certain.lead.high - certain.lead.low < 0.1 * (found.lead.high - found.lead.low));
    }

    #[test]
    fn what_never_changes_ignores_the_weights_and_blank_pictures_do_not() {
        let all = |v: f64| {
            let c = Comparison { networks: [1, 2], same: vec![v; 3], other: vec![v; 3] };
            SimilarityRetained::of(&[c], &vec![vec![v; 3]; 3], Key::new(1, Use::Audit)).unwrap()
        };
        // The same picture for every image and network, as for the control that marks the middle.
        assert!(all(1.0).too_much());
        // All maps blank.
        assert!(!all(0.0).too_much());
        assert_eq!(SimilarityRetained::of(&[], &[], Key::new(1, Use::Audit)), None);
    }
}
