//! A simple occlusion check of one map: blank the hottest and the coldest tenth and compare how far the score
//! falls.

use crate::explain::ExplainError;
use crate::explain::{Attribution, ImageAttributions};
use crate::model::{Head, Model};
use crate::predict::Predictor;

/// Share of the image that is blanked.
const SHARE: f64 = 0.1;

/// Drop in the score of the explained class when a tenth of the image is replaced by its mean colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OcclusionCheck {
    /// Drop for the hottest tenth.
    pub hottest: f64,
    /// Drop for the coldest tenth.
    pub coldest: f64,
}

impl OcclusionCheck {
    /// Returns how much more the hottest tenth matters than the coldest; at most 0 if the map points nowhere in
    /// particular.
    #[must_use]
    pub fn lead(&self) -> f64 {
        self.hottest - self.coldest
    }
}

/// Blanks parts of images and predicts again.
#[derive(Debug)]
pub(super) struct Checker {
    predictor: Predictor,
    model: Model,
}

impl Checker {
    pub(super) fn new(model: &Model) -> Result<Self, ExplainError> {
        Ok(Self { predictor: Predictor::new(model)?, model: model.clone() })
    }

    /// Checks one map of an image; `None` if the map has no positive heat.
    pub(super) fn check(
        &self,
        pixels: &[f32],
        explanation: &ImageAttributions,
        map: &Attribution,
    ) -> Result<Option<OcclusionCheck>, ExplainError> {
        let [channels, h, w] = self.model.shape();
        let Some(heat) = map.heat().filter(|m| m.values().iter().any(|v| *v > 0.0)) else { return Ok(None) };
        let heat = heat.resized(h, w);
        let order = by_heat(heat.values());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        let count = ((order.len() as f64 * SHARE).round() as usize).max(1);
        let coldest = blanked(pixels, channels, &order[..count.min(order.len())]);
        let hottest = blanked(pixels, channels, &order[order.len().saturating_sub(count)..]);
        let logits = self.predictor.logits(&[hottest, coldest].concat(), 2)?;
        let score = |logits: &[f32]| Head::score(logits, map.class);
        let before = score(&explanation.logits);
        let (hot, cold) = logits.split_at(logits.len() / 2);
        Ok(Some(OcclusionCheck { hottest: before - score(hot), coldest: before - score(cold) }))
    }
}

/// Returns the pixel indices from the coldest to the hottest; ties keep pixel order.
fn by_heat(heat: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..heat.len()).collect();
    order.sort_by(|&a, &b| heat[a].total_cmp(&heat[b]));
    order
}

/// Returns the image with the given pixels set to the mean of each channel.
fn blanked(pixels: &[f32], channels: usize, places: &[usize]) -> Vec<f32> {
    let mut changed = pixels.to_vec();
    let area = pixels.len() / channels.max(1);
    for plane in changed.chunks_exact_mut(area.max(1)) {
        let mean = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / area.max(1) as f64;
        #[expect(clippy::cast_possible_truncation, reason = "a mean of f32 values")]
        places.iter().filter_map(|&p| plane.get_mut(p).map(|v| *v = mean as f32)).for_each(drop);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_chosen_places_become_the_mean() {
        let changed = blanked(&[0.0, 1.0, 2.0, 10.0, 20.0, 30.0], 2, &[2]);
        assert_eq!(changed, [0.0, 1.0, 1.0, 10.0, 20.0, 20.0]);
        assert_eq!(by_heat(&[0.5, 0.0, 1.0, 0.0]), [1, 3, 0, 2]);
    }
}
