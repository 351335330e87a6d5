//! Weakly supervised localization: the hot regions of maps as COCO JSON and mask images, with their overlap with
//! the annotated objects, if there are any.
//!
//! [`Localiser`] is a sink for explained images. A map is thresholded ([`Threshold`]) at the size of the original
//! image ([`CropTransform`]), and its connected components ([`Components`]) become masks and boxes. [`GroundTruth`] holds the
//! annotated objects.

mod coco;
mod ground_truth;
mod mask;
mod polygon;
mod rle;
mod score;
mod table;
mod threshold;
mod write;

pub use ground_truth::{GroundTruth, Object, ObjectShape};
pub use mask::{Components, Mask, PixelBox};
pub use score::{LocalisationScore, MeanLocalisationScore};
pub use table::table;
pub use threshold::Threshold;
pub use write::{Localiser, LocaliserOptions};

pub use crate::render::CropTransform;

use crate::render::Map;

/// Maximum number of components of one map that become boxes, the largest first. On images of more than ten million
/// pixels the limit is lower, so that their masks take less than a gigabyte.
pub const MAX_COMPONENTS: usize = 100;
/// Maximum memory of the masks of one map, in bytes.
const MAX_MASK_BYTES: usize = 1 << 30;

/// Returns the hot regions of a map on the original image, the largest first. The threshold is computed from the
/// map at the size of the model's input, `[rows, columns]`, so it does not depend on the size of the original.
#[must_use]
pub fn locate(
    heat: &Map,
    input: [usize; 2],
    view: &CropTransform,
    threshold: Threshold,
    keep: Components,
) -> Vec<Mask> {
    let Some(value) = threshold.of(&heat.resized(input[0], input[1])) else { return Vec::new() };
    let [height, width] = view.original;
    let inside = view.project(heat).values().iter().map(|v| *v >= value).collect();
    let hot = Mask { height, width, inside };
    let most = match keep {
        Components::Largest => 1,
        Components::All => (MAX_MASK_BYTES / (height * width).max(1)).clamp(1, MAX_COMPONENTS),
    };
    hot.components(most)
}

#[cfg(test)]
mod tests;
