//! Fusion of the maps of several layers.

use crate::bilinear::Enlargement;
use crate::explain::Attribution;
use crate::nearest::{Named, name_of};
use crate::render::Map;

/// Fusion of the maps of several layers. The positive part of each map is divided by its maximum and resized (bilinear)
/// to the cells of the layer with the most places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fusion {
    /// Mean, as in pytorch-grad-cam.
    Mean,
    /// Maximum.
    Max,
    /// Maximum of tanh(2 · map), which strengthens weak layers (Jiang et al. 2021, LayerCAM, equation 9).
    TanhMax,
    /// Product: keeps only what all layers agree on.
    Product,
}

impl Fusion {
    /// All fusions, with their names on the command line.
    pub const ALL: [Named<Self>; 4] = [
        ("mean", "The mean of the maps", Self::Mean),
        ("max", "The largest value at each place", Self::Max),
        ("tanh-max", "The same after tanh(2x), which brings weak maps forward", Self::TanhMax),
        ("product", "The product: heat that all layers share", Self::Product),
    ];

    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&self, &Self::ALL)
    }

    /// Fuses several maps, h×w each, on the cells of the map with the most places.
    pub(super) fn fuse(self, maps: &[&Attribution]) -> Vec<f32> {
        let Some(&largest) = largest(maps.iter().map(|m| m.shape.as_slice())).and_then(|at| maps.get(at))
        else {
            return Vec::new();
        };
        let &[h, w] = largest.shape.as_slice() else { return Vec::new() };
        let mut fused = match self {
            Self::Product => vec![1.0; h * w],
            _ => vec![0.0; h * w],
        };
        #[allow(clippy::cast_precision_loss)]
        let share = 1.0 / maps.len() as f32;
        for map in maps {
            let &[from_h, from_w] = map.shape.as_slice() else { continue };
            let positive = Map::new(from_h, from_w, map.values.clone()).ok().and_then(|map| map.positive());
            let plane = positive.map_or_else(|| vec![0.0; from_h * from_w], |map| map.values().to_vec());
            let to = ([h, w], &largest.placement);
            let large = Enlargement::between(([from_h, from_w], &map.placement), to).apply(&plane);
            for (sum, value) in fused.iter_mut().zip(large) {
                *sum = match self {
                    Self::Mean => *sum + share * value,
                    Self::Max => sum.max(value),
                    Self::TanhMax => sum.max(libm::tanhf(2.0 * value)),
                    Self::Product => *sum * value,
                };
            }
        }
        fused
    }
}

/// Returns the index of the map with the most places, the first one of ties.
pub(super) fn largest<'s>(shapes: impl Iterator<Item = &'s [usize]>) -> Option<usize> {
    let places = shapes.map(|shape| shape.iter().product::<usize>());
    places
        .enumerate()
        .fold(None, |best, (i, n)| match best {
            Some((_, most)) if most >= n => best,
            _ => Some((i, n)),
        })
        .map(|(i, _)| i)
}
