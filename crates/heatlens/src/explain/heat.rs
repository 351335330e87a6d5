//! Heat of a map, defined for every kind of map.

use crate::explain::{Attribution, ImageAttributions};
use crate::method::MapKind;
use crate::render::Map;

impl Attribution {
    /// Returns the map as a single plane: a layer map unchanged, with evidence for and against; a pixel map as the sum
    /// of |v| over its channels, since brighter and darker pixels are both evidence. Returns `None` for concept maps
    /// and for values that are not finite.
    #[must_use]
    pub fn plane(&self) -> Option<Map> {
        match (self.method.kind, self.shape.as_slice()) {
            _ if self.values.iter().any(|v| !v.is_finite()) => None,
            (MapKind::Layer, &[h, w]) => {
                Map::new(h, w, self.values.clone()).ok().map(|map| map.placed(self.placement))
            }
            (MapKind::Input, &[_, h, w]) => {
                let mut sums = vec![0.0; h * w];
                for plane in self.values.chunks_exact((h * w).max(1)) {
                    sums.iter_mut().zip(plane).for_each(|(sum, v)| *sum += v.abs());
                }
                Map::new(h, w, sums).ok()
            }
            _ => None,
        }
    }

    /// Returns the heat at each place: the positive part of the [plane](Self::plane).
    #[must_use]
    pub fn heat(&self) -> Option<Map> {
        let plane = self.plane()?;
        let positive = plane.values().iter().map(|v| v.max(0.0)).collect();
        Map::new(plane.height(), plane.width(), positive).ok().map(|map| map.placed(*plane.placement()))
    }
}

impl Attribution {
    /// Returns the heat of each pixel of an image with these rows and columns, from 0 to 1 (the maximum of the
    /// [heat](Self::heat)); all zeros if there is no heat. Returns `None` for concept maps.
    #[must_use]
    pub fn heat_over(&self, [h, w]: [usize; 2]) -> Option<Vec<f32>> {
        if self.method.kind == MapKind::Concepts {
            return None;
        }
        let heat = self.heat().and_then(|heat| heat.positive());
        Some(heat.map_or_else(|| vec![0.0; h * w], |heat| heat.resized(h, w).into_values()))
    }
}

impl ImageAttributions {
    /// Returns the index and heat of the map that represents the image: the last layer's map of the first method with a
    /// heat map.
    #[must_use]
    pub fn main_map(&self) -> Option<(usize, Map)> {
        let maps = &self.attributions;
        let heats = || maps.iter().enumerate().filter_map(|(at, map)| Some((at, map.heat()?)));
        let (first, _) = heats().next()?;
        let same =
            |at: usize| (maps[at].method.id, maps[at].class) == (maps[first].method.id, maps[first].class);
        heats().rfind(|(at, _)| same(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::find;
    use crate::model::Placement;

    fn attribution(id: &str, shape: &[usize], values: &[f32]) -> Attribution {
        let (method, shape, values) = (find(id).unwrap(), shape.to_vec(), values.to_vec());
        Attribution {
            method,
            layer: None,
            class: 1,
            shape,
            values,
            placement: Placement::EVEN,
            raw_min: -1.0,
            raw_max: 1.0,
            zero: None,
            focus: None,
        }
    }

    #[test]
    fn the_last_layer_of_the_first_method_stands_for_the_image() {
        let map = |id: &str, class: usize| Attribution { class, ..attribution(id, &[1, 1], &[1.0]) };
        let of = |attributions: Vec<Attribution>| {
            let (logits, probabilities, predicted, tensors) = (vec![0.0], vec![0.5, 0.5], 0, None);
            ImageAttributions { logits, probabilities, predicted, attributions, tensors }
                .main_map()
                .map(|found| found.0)
        };
        assert_eq!(of(vec![map("grad_cam", 1), map("grad_cam", 1), map("cam", 1)]), Some(1));
        assert_eq!(of(vec![map("grad_cam", 1), map("grad_cam", 0)]), Some(0));
        assert_eq!(of(vec![map("deep_feature_factorization", 1), map("cam", 1)]), Some(1));
        assert_eq!(of(vec![]), None);
    }

    #[test]
    fn heat_is_never_negative_and_has_one_plane() {
        let layer = attribution("grad_cam", &[1, 3], &[3.0, -5.0, 0.5]).heat().unwrap();
        assert_eq!(layer.values(), [3.0, 0.0, 0.5]);
        let pixels = attribution("gradient", &[2, 1, 2], &[1.0, -2.0, -1.0, 4.0]).heat().unwrap();
        assert_eq!((pixels.height(), pixels.width(), pixels.values()), (1, 2, [2.0, 6.0].as_slice()));
        assert_eq!(layer.placement(), &Placement::EVEN);
        let over = attribution("grad_cam", &[1, 2], &[-4.0, 4.0]).heat_over([1, 4]).unwrap();
        assert_eq!(over, [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(attribution("grad_cam", &[1, 2], &[-4.0, -4.0]).heat_over([1, 2]).unwrap(), [0.0; 2]);
        assert!(attribution("deep_feature_factorization", &[1, 1, 1], &[1.0]).heat().is_none());
        assert!(attribution("cam", &[1, 2], &[f32::NAN, 1.0]).heat().is_none());
    }
}
