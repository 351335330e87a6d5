//! Energy-based pointing game (Wang et al. 2020, Score-CAM, §4.3): share of a map's heat inside the object.

use crate::explain::Attribution;
use crate::metric::{Aspect, Better, Metric, UpsampledMap};

/// Registry entry.
pub(super) static ENERGY_POINTING: Metric = Metric {
    id: "energy_pointing",
    title: "Energy pointing game",
    summary: "how much of the heat falls on the object",
    formula: "Σ heat on the object ÷ Σ heat",
    paper: "Wang et al. 2020, Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks, CVPR workshop, §4.3",
    better: Better::Higher,
    aspect: Aspect::Localisation,
    experiments: &[],
    needs_mask: true,
    read: |input| share(&input.view.upsampled.heat, input.view.context.mask?),
};

/// Returns the share of heat inside `mask` (shape `h w`, row-major), 0 to 1; `None` if there is no heat. See
/// [`UpsampledMap`] for the definition of heat.
#[must_use]
pub fn energy_share(attribution: &Attribution, size: [usize; 2], mask: &[bool]) -> Option<f64> {
    share(&UpsampledMap::new(attribution, size)?.heat, mask)
}

fn share(heat: &[f32], mask: &[bool]) -> Option<f64> {
    let total: f64 = heat.iter().map(|&v| f64::from(v)).sum();
    let inside: f64 = heat.iter().zip(mask).filter(|(_, m)| **m).map(|(&v, _)| f64::from(v)).sum();
    (total > 0.0 && total.is_finite()).then_some(inside / total)
}

/// Returns the share that uniform heat would have: the mask's share of the area.
#[must_use]
#[allow(clippy::cast_precision_loss)] // pixel counts are far below 2^53
pub fn chance_share(mask: &[bool]) -> f64 {
    mask.iter().filter(|m| **m).count() as f64 / mask.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::attribution;

    #[test]
    fn only_positive_heat_of_a_layer_map_counts() {
        let map = attribution("grad_cam", &[1, 2], &[3.0, -5.0]);
        assert_eq!(energy_share(&map, [1, 2], &[true, false]), Some(1.0));
        let nothing = attribution("grad_cam", &[1, 2], &[0.0, -5.0]);
        assert_eq!(energy_share(&nothing, [1, 2], &[true, false]), None);
    }

    #[test]
    fn both_signs_of_a_pixel_map_count() {
        let map = attribution("gradient", &[2, 1, 2], &[1.0, -2.0, -1.0, 4.0]);
        assert_eq!(energy_share(&map, [1, 2], &[true, false]), Some(0.25));
        assert!((chance_share(&[true, false, false, false]) - 0.25).abs() < 1e-12);
    }
}
