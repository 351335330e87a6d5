//! What part of an image the model saw, so that its map can be laid over the image as it is on disk.

use crate::data::Resize;
use crate::localise::Mask;
use crate::render::Map;

/// How a model's view lies on an original image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Rows and columns of the original.
    pub original: [usize; 2],
    /// The part of it that the model sees: first row, first column, rows and columns, in pixels of the original.
    pub seen: [f64; 4],
}

impl View {
    /// The view of a model of `model` rows and columns on an image of `original`.
    #[must_use]
    pub fn new(original: [usize; 2], model: [usize; 2], resize: Resize) -> Self {
        let seen = resize.window(original, model);
        Self { original, seen }
    }

    /// The map at the size of the original: bilinear with half-pixel centres inside of what the model saw, 0 outside.
    ///
    /// Row and column are interpolated by themselves, as everywhere in this program.
    #[must_use]
    pub fn project(&self, heat: &Map) -> Vec<f32> {
        let [rows, columns] = self.original;
        let [top, left, height, width] = self.seen;
        let lines = taps(rows, top, height, heat.height());
        let places = taps(columns, left, width, heat.width());
        let mut projected = Vec::with_capacity(rows * columns);
        for line in &lines {
            for place in &places {
                projected.push(match (line, place) {
                    (Some(line), Some(place)) => {
                        line.mix(|row| place.mix(|c| heat.values()[row * heat.width() + c]))
                    }
                    _ => 0.0,
                });
            }
        }
        projected
    }
}

impl View {
    /// What the model sees of a mask of the original, at this size: the nearest pixels.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position within the image"
    )]
    pub fn seen_of(&self, mask: &Mask, [rows, columns]: [usize; 2]) -> Vec<bool> {
        let [top, left, height, width] = self.seen;
        let at = |i: usize, n: usize, start: f64, length: f64, last: usize| {
            ((start + (i as f64 + 0.5) / n as f64 * length) as usize).min(last.saturating_sub(1))
        };
        let inside = |i: usize| {
            let y = at(i / columns, rows, top, height, mask.height);
            let x = at(i % columns, columns, left, width, mask.width);
            mask.inside.get(y * mask.width + x).copied().unwrap_or(false)
        };
        (0..rows * columns).map(inside).collect()
    }
}

/// Two neighbouring positions and the share of the second.
struct Tap {
    first: usize,
    second: usize,
    over: f32,
}

impl Tap {
    fn mix(&self, value: impl Fn(usize) -> f32) -> f32 {
        value(self.first) * (1.0 - self.over) + value(self.second) * self.over
    }
}

/// For each of `n` pixels where it lies among `cells` cells that cover `length` pixels from `start` on; `None` outside.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a position within the cells")]
fn taps(n: usize, start: f64, length: f64, cells: usize) -> Vec<Option<Tap>> {
    let last = cells - 1;
    let tap = |pixel: usize| {
        let at = (pixel as f64 + 0.5 - start) / length;
        (0.0..=1.0).contains(&at).then(|| {
            let source = (at * cells as f64 - 0.5).clamp(0.0, last as f64);
            let first = (source as usize).min(last);
            Tap { first, second: (first + 1).min(last), over: (source - first as f64) as f32 }
        })
    };
    (0..n).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squashing_is_plain_resizing() {
        let heat = Map::new(2, 3, vec![0.0, 1.0, 5.0, 2.0, 0.5, 3.0]).unwrap();
        let view = View::new([7, 10], [32, 32], Resize::Squash);
        let expected = heat.resized(7, 10);
        for (found, expected) in view.project(&heat).iter().zip(expected.values()) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn what_was_cut_off_has_no_heat() {
        // A square model on an image of 4 × 10: the middle 4 columns are seen.
        let view = View::new([4, 10], [8, 8], Resize::Crop);
        assert_eq!(view.seen, [0.0, 3.0, 4.0, 4.0]);
        let projected = view.project(&Map::new(1, 1, vec![2.0]).unwrap());
        assert_eq!(projected[..10], [0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0]);
        // A wide model on a tall image.
        assert_eq!(View::new([10, 4], [2, 4], Resize::Crop).seen, [4.0, 0.0, 2.0, 4.0]);
    }

    #[test]
    fn a_mask_is_cut_as_the_image_is() {
        let view = View::new([4, 10], [2, 2], Resize::Crop);
        // One true pixel of the original in the lower right of what is seen.
        let inside = (0..40).map(|i| i == 36).collect();
        assert_eq!(view.seen_of(&Mask { height: 4, width: 10, inside }, [2, 2]), [false, false, false, true]);
        let edge = (0..40).map(|i| i % 10 < 3).collect();
        assert_eq!(view.seen_of(&Mask { height: 4, width: 10, inside: edge }, [2, 2]), [false; 4]);
    }

    #[test]
    fn the_crop_is_the_one_that_the_model_gets() {
        // A bright block in the part that is kept: the model's own view, laid back, covers it.
        let (rows, columns) = (20, 50);
        let bright = |i: usize| {
            f32::from(u8::from((30..34).contains(&(i % columns)) && (8..12).contains(&(i / columns))))
        };
        let values: Vec<f32> = (0..rows * columns).map(bright).collect();
        let raster =
            crate::data::Raster { channels: 1, height: rows, width: columns, values: values.clone() };
        let seen = raster.resized(20, 20, Resize::Crop).unwrap();
        let heat = Map::new(20, 20, seen.values).unwrap();
        let back = View::new([rows, columns], [20, 20], Resize::Crop).project(&heat);
        assert!(back.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}
