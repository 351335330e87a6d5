//! How much of a method's maps random weights leave, with the interval that decides.

use serde_json::{Value, json};

use crate::random::{Key, Rng};
use crate::stats::Estimate;
use crate::stats::bootstrap::quantile;

/// Samples drawn.
const DRAWS: usize = 1000;
/// What may remain of a map. Chosen on 22 networks, between Grad-CAM and the gradient (at most 0.35 of a map remained)
/// and guided back-propagation (at least 0.48), and counted on others: docs/trust.md.
pub(crate) const LINE: f64 = 1.0 / 3.0;
/// Pictures more alike than this are the same but for rounding.
const THE_SAME: f64 = 1.0 - 1e-6;

/// How alike maps are across networks. All numbers but the share are similarities, 1 for the same picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// The same image, other weights.
    pub same_image: f64,
    /// Another image, other weights: what any two maps of the method have in common, borders for instance.
    pub other_image: f64,
    /// The same weights, the same image but for noise that nobody sees: as alike as the method's maps can be.
    pub own: f64,
    /// How far the first is above the line, a third of the way from the second to the third; the interval covers images
    /// and random networks.
    pub lead: Estimate,
}

/// Two networks, compared image by image.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    /// Their numbers; 0 is the model, the others have random weights.
    pub(super) networks: [usize; 2],
    /// The same image.
    pub(super) same: Vec<f64>,
    /// Another image.
    pub(super) other: Vec<f64>,
}

impl Kept {
    /// What remains of all that a map says about an image beyond what it says about any: 0 is nothing, 1 all.
    #[must_use]
    pub fn share(&self) -> f64 {
        let Self { same_image, other_image, own, .. } = *self;
        if same_image >= own {
            1.0
        } else {
            ((same_image - other_image) / (own - other_image)).clamp(0.0, 1.0)
        }
    }

    /// Whether more than a third surely remains, or the maps do not change at all.
    #[must_use]
    pub fn too_much(&self) -> bool {
        self.lead.low > 0.0 || self.same_image > THE_SAME
    }

    /// From comparisons and, for each network and image, how alike the method is to itself; `None` without any.
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
                // The same network drawn every time cannot be compared.
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
            lead: Estimate { mean: mean_lead, low: at(0.025), high: at(0.975), images },
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
            lead: Estimate::from_json(&value["lead"])?,
        })
    }
}

/// How often each comparison counts when the random networks are drawn anew; the model (0) is always there.
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

    /// Five random networks, twelve images; the numbers wander by `spread` from network to network.
    fn kept(same: f64, other: f64, own: f64, spread: f64) -> Kept {
        let mut rng = Key::new(4, Use::Audit).rng();
        let pairs = (1..=5).flat_map(|a| (a + 1..=5).map(move |b| [a, b]));
        let comparison = |networks| {
            let shift = spread * rng.normal();
            let mut around = |mean: f64| (0..12).map(|_| mean + 0.01 * rng.normal()).collect::<Vec<f64>>();
            Comparison { networks, same: around(same + shift), other: around(other) }
        };
        let comparisons: Vec<Comparison> = pairs.map(comparison).collect();
        Kept::of(&comparisons, &vec![vec![own; 12]; 6], Key::new(1, Use::Audit)).unwrap()
    }

    #[test]
    fn more_than_a_third_is_too_much() {
        let found = kept(0.6, 0.1, 0.9, 0.0);
        assert!((found.share() - 0.625).abs() < 0.01 && found.too_much(), "{found:?}");
        assert!(kept(0.38, 0.1, 0.9, 0.0).too_much() && !kept(0.35, 0.1, 0.9, 0.0).too_much());
        assert!(!kept(0.05, 0.1, 0.9, 0.0).too_much());
        assert_eq!(kept(0.05, 0.2, 0.9, 0.0).share(), 0.0);
        assert_eq!(Kept::from_json(&found.to_json()), Some(found));
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
            Kept::of(&[c], &vec![vec![v; 3]; 3], Key::new(1, Use::Audit)).unwrap()
        };
        // The same picture for every image and network, as the control in the middle.
        assert!(all(1.0).too_much());
        // Nothing to see in any of them.
        assert!(!all(0.0).too_much());
        assert_eq!(Kept::of(&[], &[], Key::new(1, Use::Audit)), None);
    }
}
