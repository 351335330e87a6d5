//! Boxes and masks without annotations: what is hot in a map, as COCO JSON and mask pictures, with its overlap with
//! the true objects where a person has marked them.
//!
//! [`Localiser`] takes images as they are explained. A map is cut at a [`Threshold`], laid over the image as it is on
//! disk ([`View`]), and its connected parts ([`Components`]) become masks and boxes. [`Truth`] holds the true objects.

mod coco;
mod mask;
mod polygon;
mod rle;
mod score;
mod table;
mod threshold;
mod truth;
mod write;

pub use mask::{Components, Mask, PixelBox};
pub use score::{MeanScore, Score};
pub use table::table;
pub use threshold::Threshold;
pub use truth::{Object, Shape, Truth};
pub use write::{Localiser, Options};

pub use crate::render::View;

use crate::render::Map;

/// Most parts of one map that become boxes: the largest. On images of more than ten million pixels they are fewer, so
/// that their masks stay below a gigabyte.
pub const MAX_COMPONENTS: usize = 100;
/// Bytes that the masks of one map may take.
const MAX_MASK_BYTES: usize = 1 << 30;

/// The hot parts of a map on the original image, the largest first. The threshold is taken from the map at the size of
/// the model's input, `[rows, columns]`, so it does not depend on the size of the original.
#[must_use]
pub fn locate(
    heat: &Map,
    input: [usize; 2],
    view: &View,
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
