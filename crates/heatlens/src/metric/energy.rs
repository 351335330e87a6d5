//! The energy-based pointing game (Wang et al. 2020, Score-CAM, §4.3): how much of a map's heat
//! falls on the object.

use crate::bilinear::resize;
use crate::explain::Attribution;

/// The share of heat inside `mask` (h·w, row-major), from 0 to 1; `None` if there is no heat.
///
/// Heat is the positive part of a layer map, enlarged to the mask's size, or |v| summed over the
/// channels of a map of the image's own size (where lighter and darker both mean "looked here").
#[must_use]
pub fn energy_share(attribution: &Attribution, [h, w]: [usize; 2], mask: &[bool]) -> Option<f64> {
    let heat = match attribution.shape.as_slice() {
        &[rows, columns] => {
            let positive: Vec<f32> = attribution.values.iter().map(|v| v.max(0.0)).collect();
            resize(&positive, [rows, columns], [h, w])
        }
        _ => {
            let mut sum = vec![0.0; h * w];
            for plane in attribution.values.chunks(h * w) {
                sum.iter_mut().zip(plane).for_each(|(s, v)| *s += v.abs());
            }
            sum
        }
    };
    let total: f64 = heat.iter().map(|&v| f64::from(v)).sum();
    let inside: f64 = heat.iter().zip(mask).filter(|(_, m)| **m).map(|(&v, _)| f64::from(v)).sum();
    (total > 0.0 && total.is_finite()).then_some(inside / total)
}

/// The share that evenly spread heat would have: the mask's share of the area.
#[must_use]
#[allow(clippy::cast_precision_loss)] // pixel counts are far below 2^53
pub fn chance_share(mask: &[bool]) -> f64 {
    mask.iter().filter(|m| **m).count() as f64 / mask.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::find;

    fn attribution(id: &str, shape: &[usize], values: &[f32]) -> Attribution {
        let (raw_min, raw_max) = (-1.0, 1.0);
        let (method, shape, values) = (find(id).unwrap(), shape.to_vec(), values.to_vec());
        Attribution { method, layer: None, class: 1, shape, values, raw_min, raw_max, zero: None }
    }

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
