//! Averaging of maps over modified copies of the image, as in pytorch-grad-cam's `aug_smooth`: mirrored or not, with
//! pixels multiplied by 1, 0.9 and 1.1. Each copy is explained for the original's class.

use crate::bilinear::Enlargement;
use crate::explain::Attribution;

/// Modification of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copy {
    mirrored: bool,
    factor: f32,
}

/// Returns all modifications except the identity.
pub(super) fn copies() -> impl Iterator<Item = Copy> {
    let all = [false, true]
        .into_iter()
        .flat_map(|mirrored| [1.0, 0.9, 1.1].map(|factor| Copy { mirrored, factor }));
    all.skip(1)
}

impl Copy {
    /// Returns the modified images, given their width.
    pub(super) fn make(self, pixels: &[f32], width: usize) -> Vec<f32> {
        let mut changed: Vec<f32> = pixels.iter().map(|p| p * self.factor).collect();
        if self.mirrored {
            changed.chunks_mut(width.max(1)).for_each(<[f32]>::reverse);
        }
        changed
    }

    /// Mirrors a map of the copy back onto the image. Unless they are evenly spread, cells of the mirrored image may be
    /// placed differently from those of the original.
    pub(super) fn put_back(self, map: &mut Attribution) {
        let Some(&[h, w]) = map.shape.last_chunk::<2>() else { return };
        if !self.mirrored || h * w == 0 {
            return;
        }
        if map.placement.is_spread(1) {
            map.values.chunks_mut(w).for_each(<[f32]>::reverse);
            return;
        }
        let mirror = Enlargement::mirrored([h, w], &map.placement);
        map.values = map.values.chunks(h * w).flat_map(|plane| mirror.apply(plane)).collect();
    }
}
