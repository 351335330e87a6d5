//! The part of an image that a model sees, and the projection of maps onto pictures of that image.

use std::ops::Range;

use super::Map;
use crate::bilinear::Tap;
use crate::data::Resize;

/// Position of the model's view on an image, or on a picture of it at another size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropTransform {
    /// Rows and columns of the image.
    pub original: [usize; 2],
    /// The part that the model sees: first row, first column, rows and columns, in pixels of the image.
    pub seen: [f64; 4],
}

impl CropTransform {
    /// Returns the view of a model with input size `model` on an image of size `original`, both as rows and
    /// columns.
    #[must_use]
    pub fn new(original: [usize; 2], model: [usize; 2], resize: Resize) -> Self {
        let seen = resize.window(original, model);
        Self { original, seen }
    }

    /// Returns the view of a model that sees all of an image of `size` rows and columns.
    #[must_use]
    pub fn whole(size: [usize; 2]) -> Self {
        Self { original: size, seen: [0.0, 0.0, size[0] as f64, size[1] as f64] }
    }

    /// Returns the same view on a picture of the image at another size.
    #[must_use]
    pub fn scaled(&self, size: [usize; 2]) -> Self {
        let [down, across] = [0, 1].map(|axis| size[axis] as f64 / self.original[axis].max(1) as f64);
        let [top, left, height, width] = self.seen;
        Self { original: size, seen: [top * down, left * across, height * down, width * across] }
    }

    /// Returns true if the model sees the whole image.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        // A crop with the image's own aspect ratio covers all of it up to rounding.
        let all = Self::whole(self.original).seen;
        self.seen.iter().zip(all).all(|(seen, all)| (seen - all).abs() < 1e-6)
    }

    /// Upsamples the map bilinearly to the size of the image, with each cell at its
    /// [position](crate::placement::Placement); 0 outside of the part that the model sees.
    ///
    /// Rows and columns are interpolated separately. This function projects every map that is drawn, thresholded
    /// into boxes or masks, or laid over an image.
    #[must_use]
    pub fn project(&self, map: &Map) -> Map {
        let [rows, columns] = self.original;
        let [top, left, height, width] = self.seen;
        let lines = taps(rows, [top, height], map, 0);
        let places = taps(columns, [left, width], map, 1);
        let mut projected = vec![0.0; rows * columns];
        for (line, row) in lines.iter().zip(projected.chunks_exact_mut(columns.max(1))) {
            let Some(line) = line else { continue };
            for (value, place) in row.iter_mut().zip(&places) {
                if let Some(place) = place {
                    *value = line.mix(|row| place.mix(|c| map.values()[row * map.width() + c]));
                }
            }
        }
        Map::finite(rows, columns, projected)
    }

    /// Returns the rows and columns of the image whose centres the model sees.
    #[must_use]
    pub fn window(&self) -> [Range<usize>; 2] {
        let [top, left, height, width] = self.seen;
        let range = |n: usize, start: f64, length: f64| {
            let inside = |i: &usize| is_inside(*i, start, length).is_some();
            let first = (0..n).find(inside).unwrap_or(n);
            first..(first..n).find(|i| !inside(i)).unwrap_or(n)
        };
        [range(self.original[0], top, height), range(self.original[1], left, width)]
    }
}

/// Returns, for each of `n` pixels, its interpolation weights among the map's cells along an axis if the model sees
/// `length` pixels from `start` on; `None` outside.
fn taps(n: usize, [start, length]: [f64; 2], map: &Map, axis: usize) -> Vec<Option<Tap>> {
    let cells = [map.height(), map.width()][axis];
    let tap = |pixel: usize| {
        is_inside(pixel, start, length)
            .map(|from_start| Tap::of_cells(map.placement().cell(axis, from_start, length, cells), cells))
    };
    (0..n).map(tap).collect()
}

/// Returns the distance of a pixel's centre from `start` if it is within `length`, otherwise `None`.
fn is_inside(pixel: usize, start: f64, length: f64) -> Option<f64> {
    let from_start = pixel as f64 + 0.5 - start;
    (0.0..=length).contains(&from_start).then_some(from_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squashing_is_plain_resizing() {
        let heat = Map::new(2, 3, vec![0.0, 1.0, 5.0, 2.0, 0.5, 3.0]).unwrap();
        let view = CropTransform::new([7, 10], [32, 32], Resize::Squash);
        let expected = crate::bilinear::resize(heat.values(), [2, 3], [7, 10]);
        assert_eq!(view.project(&heat).values(), expected);
        assert_eq!(heat.resized(7, 10).values(), expected);
    }

    #[test]
    fn what_was_cut_off_has_no_heat() {
        // A square model on an image of 4 × 10 sees the middle 4 columns.
        let view = CropTransform::new([4, 10], [8, 8], Resize::Crop);
        assert_eq!(view.seen, [0.0, 3.0, 4.0, 4.0]);
        let projected = view.project(&Map::new(1, 1, vec![2.0]).unwrap());
        assert_eq!(projected.values()[..10], [0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0]);
        // A wide model on a tall image.
        assert_eq!(CropTransform::new([10, 4], [2, 4], Resize::Crop).seen, [4.0, 0.0, 2.0, 4.0]);
    }

    #[test]
    fn a_view_keeps_its_place_on_a_picture_of_another_size() {
        let view = CropTransform::new([4, 10], [8, 8], Resize::Crop).scaled([8, 30]);
        assert_eq!((view.seen, view.window()), ([0.0, 9.0, 8.0, 12.0], [0..8, 9..21]));
        assert!(!view.is_whole() && CropTransform::new([5, 3], [9, 9], Resize::Squash).is_whole());
        let shown = view.project(&Map::new(1, 1, vec![2.0]).unwrap());
        let hot = |y: usize, x: usize| shown.values()[y * 30 + x] > 0.0;
        assert!(!hot(0, 8) && hot(0, 9) && hot(7, 20) && !hot(7, 21));
    }

    #[test]
    fn the_crop_is_the_one_that_the_model_gets() {
        // A bright block in the cropped part: projecting the model's view back covers it.
        let (rows, columns) = (20, 50);
        let bright = |i: usize| {
            f32::from(u8::from((30..34).contains(&(i % columns)) && (8..12).contains(&(i / columns))))
        };
        let values: Vec<f32> = (0..rows * columns).map(bright).collect();
        let raster =
            crate::data::Raster { channels: 1, height: rows, width: columns, values: values.clone() };
        let seen = raster.resized(20, 20, Resize::Crop).unwrap();
        let heat = Map::new(20, 20, seen.values).unwrap();
        let back = CropTransform::new([rows, columns], [20, 20], Resize::Crop).project(&heat);
        assert!(back.values().iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}
