//! A map at the size of the image it explains.

use crate::explain::Attribution;
use crate::extremes::extremes;
use crate::random::Key;
use crate::render::Map;

/// Values of a map for every pixel of its image.
#[derive(Clone, Debug, PartialEq)]
pub struct UpsampledMap {
    /// Rows and columns of the image.
    pub size: [usize; 2],
    /// Evidence of both signs: a layer map upsampled bilinearly, or for an input map |v| summed over the channels,
    /// where lighter and darker both mean "looked here".
    pub signed: Vec<f32>,
    /// Heat as drawn: the positive part of a layer map, upsampled; for an input map the same as `signed`.
    pub heat: Vec<f32>,
}

impl UpsampledMap {
    /// Upsamples a map to an image of this size; `None` for maps of several patterns and for maps with NaN or
    /// infinite values.
    #[must_use]
    pub fn new(attribution: &Attribution, size @ [h, w]: [usize; 2]) -> Option<Self> {
        let enlarged = |map: &Map| map.resized(h, w).into_values();
        Some(Self { size, signed: enlarged(&attribution.plane()?), heat: enlarged(&attribution.heat()?) })
    }

    /// Returns the pixel indices from the most to the least relevant. Ties are in random order, so that no part of
    /// the image is favoured.
    #[must_use]
    pub fn order(&self, key: Key) -> Vec<u32> {
        let mut order: Vec<u32> = (0u32..).take(self.signed.len()).collect();
        key.rng().shuffle(&mut order);
        order.sort_by(|&a, &b| self.signed[b as usize].total_cmp(&self.signed[a as usize]));
        order
    }
}

/// Divides by the largest value, which becomes 1; zeros if no value is positive.
#[must_use]
pub fn by_largest(heat: &[f32]) -> Vec<f32> {
    let largest = heat.iter().copied().fold(0.0, f32::max);
    let factor = if largest > 0.0 { largest.recip() } else { 0.0 };
    heat.iter().map(|v| v * factor).collect()
}

/// Normalizes to the range 0 to 1; zeros if all values are equal.
#[must_use]
pub fn min_max(values: &[f32]) -> Vec<f32> {
    let [low, high] = extremes(values);
    let factor = if high > low { (high - low).recip() } else { 0.0 };
    values.iter().map(|v| (v - low) * factor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::attribution;
    use crate::random::Use;

    #[test]
    fn what_is_cut_off_is_cut_off_before_enlarging() {
        let map = attribution("grad_cam", &[1, 2], &[-4.0, 4.0]);
        let upsampled = UpsampledMap::new(&map, [1, 4]).unwrap();
        assert_eq!(upsampled.signed, [-4.0, -2.0, 2.0, 4.0]);
        assert_eq!(upsampled.heat, [0.0, 1.0, 3.0, 4.0]);
        assert!(UpsampledMap::new(&attribution("gradient", &[1, 1, 1], &[f32::NAN]), [1, 1]).is_none());
        assert!(
            UpsampledMap::new(&attribution("deep_feature_factorization", &[1, 1, 1], &[1.0]), [1, 1])
                .is_none()
        );
    }

    #[test]
    fn the_order_falls_and_equals_are_shuffled() {
        let values: Vec<f32> = (0u8..100).map(|i| f32::from(i / 50)).collect();
        let upsampled = UpsampledMap { size: [10, 10], heat: values.clone(), signed: values };
        let order = upsampled.order(Key::new(1, Use::Audit));
        assert!(order[..50].iter().all(|&i| i >= 50) && order[50..].iter().all(|&i| i < 50));
        assert_ne!(order[..50], (50..100).collect::<Vec<u32>>());
        assert_eq!(order, upsampled.order(Key::new(1, Use::Audit)));
    }

    #[test]
    fn scaling() {
        assert_eq!(by_largest(&[1.0, 4.0]), [0.25, 1.0]);
        assert_eq!(by_largest(&[0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(min_max(&[-1.0, 1.0, 3.0]), [0.0, 0.5, 1.0]);
        assert_eq!(min_max(&[2.0, 2.0]), [0.0, 0.0]);
    }
}
