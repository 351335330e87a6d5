//! The part of an image whose score is explained, where a model has scores at many places.

use image::RgbImage;

use crate::detector::Form;
use crate::localise::Mask;
use crate::model::{Dense, Head};
use crate::render::outline::{EXPLAINED, outline};
use crate::render::{CropTransform, Map};

/// The part of an image whose score is explained, where a model has scores at many places.
#[derive(Clone, Debug, PartialEq)]
pub enum Focus {
    /// A detected box: left, top, right and bottom as shares of the width and height of the model's input.
    Box([f32; 4]),
    /// Pixels of a segmentation, row after row.
    Pixels {
        /// Rows and columns.
        size: [usize; 2],
        /// True for the pixels that count.
        inside: Vec<bool>,
    },
}

impl Focus {
    /// The places with a weight above 0, of `weights` (P values); `None` if there are none. `boxes` are the 4×P numbers of a
    /// detector, for an input of `size` rows and columns.
    pub(super) fn new(
        dense: &Dense,
        weights: &[f32],
        boxes: Option<&[f32]>,
        size: [usize; 2],
    ) -> Option<Self> {
        let place = weights.iter().position(|&weight| weight > 0.0)?;
        if let (Some(own), Some(boxes)) = (&dense.boxes, boxes) {
            let [x0, y0, x1, y1] =
                Form::of(boxes, dense.places, own.centred, size).bounds(boxes, dense.places, place);
            let [h, w] = size.map(|side| side as f64);
            #[allow(clippy::cast_possible_truncation)] // shares
            return Some(Self::Box([x0 / w, y0 / h, x1 / w, y1 / h].map(|share| share as f32)));
        }
        let inside = weights.iter().map(|&weight| weight > 0.0).collect();
        Some(Self::Pixels { size: dense.grid?, inside })
    }

    /// A box's left, top, right and bottom in pixels of a model's input of these rows and columns; `None` for pixels.
    #[must_use]
    pub fn bounds(&self, [h, w]: [usize; 2]) -> Option<[f32; 4]> {
        let Self::Box([x0, y0, x1, y1]) = *self else { return None };
        let [h, w] = [h as f32, w as f32];
        Some([x0 * w, y0 * h, x1 * w, y1 * h])
    }

    /// A box's left, top, right and bottom in pixels of an image of the view's size; `None` for pixels.
    #[must_use]
    pub fn bounds_in(&self, view: &CropTransform) -> Option<[f64; 4]> {
        let Self::Box([x0, y0, x1, y1]) = *self else { return None };
        let [top, left, rows, columns] = view.seen;
        let at = |start: f64, length: f64, share: f32| start + length * f64::from(share);
        Some([at(left, columns, x0), at(top, rows, y0), at(left, columns, x1), at(top, rows, y1)])
    }

    /// The pixels of an image of the view's size that it covers.
    #[must_use]
    pub fn mask(&self, view: &CropTransform) -> Mask {
        let [height, width] = view.original;
        let inside = match self {
            Self::Box(_) => {
                let [x0, y0, x1, y1] = self.bounds_in(view).unwrap_or_default();
                let covers = |i| {
                    (x0..x1).contains(&((i % width) as f64 + 0.5))
                        && (y0..y1).contains(&((i / width) as f64 + 0.5))
                };
                (0..height * width).map(covers).collect()
            }
            Self::Pixels { size: [h, w], inside } => {
                let values = inside.iter().map(|&inside| f32::from(u8::from(inside))).collect();
                let map = Map::new(*h, *w, values).unwrap_or_else(|_| Map::nothing());
                view.project(&map).values().iter().map(|share| *share > 0.5).collect()
            }
        };
        Mask { height, width, inside }
    }

    /// Outlines it on a picture of the view's size.
    pub fn outline(&self, picture: &mut RgbImage, view: &CropTransform) {
        let mask = self.mask(view);
        let inside = |x: u32, y: u32| {
            mask.inside.get(y as usize * mask.width + x as usize).is_some_and(|inside| *inside)
        };
        outline(picture, inside, EXPLAINED);
    }

    /// Bytes of a stored focus for a model with this head.
    pub(crate) fn stored_len(head: &Head) -> usize {
        head.dense
            .as_ref()
            .map_or(0, |dense| if dense.boxes.is_some() { 16 } else { dense.places.div_ceil(8) })
    }

    /// Appends it as [`stored_len`](Self::stored_len) bytes; zeros if there is none.
    pub(crate) fn store(focus: Option<&Self>, head: &Head, bytes: &mut Vec<u8>) {
        let end = bytes.len() + Self::stored_len(head);
        match focus {
            Some(Self::Box(sides)) => bytes.extend(sides.iter().flat_map(|side| side.to_le_bytes())),
            Some(Self::Pixels { inside, .. }) => {
                let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
                bytes.extend(inside.chunks(8).map(byte));
            }
            None => {}
        }
        bytes.resize(end, 0);
    }

    /// Reads what [`store`](Self::store) wrote.
    pub(crate) fn stored(head: &Head, bytes: &[u8]) -> Option<Self> {
        let dense = head.dense.as_ref().filter(|_| bytes.iter().any(|&byte| byte != 0))?;
        if dense.boxes.is_some() {
            let side = |at: usize| f32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[4 * at + i]));
            return Some(Self::Box([0, 1, 2, 3].map(side)));
        }
        let inside = (0..dense.places).map(|place| bytes[place / 8] >> (place % 8) & 1 == 1).collect();
        Some(Self::Pixels { size: dense.grid?, inside })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn what_is_stored_is_read_again() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/dense/");
        let round = |file: &str, focus: Option<Focus>| {
            let head = Model::open(format!("{golden}{file}")).unwrap().head;
            let mut bytes = vec![7];
            Focus::store(focus.as_ref(), &head, &mut bytes);
            assert_eq!(bytes.len(), 1 + Focus::stored_len(&head));
            assert_eq!(Focus::stored(&head, &bytes[1..]), focus);
        };
        round("detector.onnx", Some(Focus::Box([0.1, 0.25, 0.5, 1.0])));
        round("detector.onnx", None);
        let inside = (0..1600).map(|i| i % 7 == 3).collect();
        round("unet.onnx", Some(Focus::Pixels { size: [40, 40], inside }));
        round("unet.onnx", None);
    }
}
