//! Duplicate images: within a set they inflate its size, and between training and evaluation images they reward
//! memorization.
//!
//! Candidates are found by the difference hash (Krawetz 2013), which records for each of 8×8 cells of grey means
//! whether its right neighbour is brighter. Images whose hashes nearly agree are then compared as thumbnails, so
//! that plain images with the same layout do not count.
//! whose hashes nearly agree are compared as thumbnails, so that plain images of the same layout do not count.

use image::RgbImage;

/// Maximum number of differing bits between the hashes of two copies; different images differ in 32 on average.
const BITS: u32 = 12;
/// Side of a thumbnail in pixels.
const SIDE: usize = 16;
/// Maximum mean difference of greys (0 to 255) between the thumbnails of two copies, as a share of the thumbnail's
/// mean absolute deviation.
const DIFFERENCE: f32 = 0.08;

/// A hash and a thumbnail to recognize an image by.
#[derive(Clone, Debug, PartialEq)]
pub struct Fingerprint {
    hash: u64,
    thumbnail: Vec<f32>,
    deviation: f32,
}

impl Fingerprint {
    /// Computes the fingerprint of a non-empty picture.
    #[must_use]
    pub fn of(picture: &RgbImage) -> Self {
        let small = means(picture, 8, 9);
        let mut hash = 0;
        for (y, x) in (0..64).map(|bit| (bit / 8, bit % 8)) {
            hash = hash << 1 | u64::from(small[y * 9 + x] < small[y * 9 + x + 1]);
        }
        let thumbnail = means(picture, SIDE, SIDE);
        #[allow(clippy::cast_precision_loss)]
        let count = thumbnail.len() as f32;
        let mean = thumbnail.iter().sum::<f32>() / count;
        // A copy may be slightly brighter overall.
        let thumbnail: Vec<f32> = thumbnail.iter().map(|v| v - mean).collect();
        let deviation = thumbnail.iter().map(|v| v.abs()).sum::<f32>() / count;
        Self { hash, thumbnail, deviation }
    }

    /// Returns true if the other fingerprint is of the same image, possibly recompressed or resized.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        if (self.hash ^ other.hash).count_ones() > BITS {
            return false;
        }
        #[allow(clippy::cast_precision_loss)]
        let count = self.thumbnail.len() as f32;
        let apart =
            self.thumbnail.iter().zip(&other.thumbnail).map(|(a, b)| (a - b).abs()).sum::<f32>() / count;
        apart <= DIFFERENCE * self.deviation.min(other.deviation)
    }
}

/// Returns the mean greys over a grid of cells.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn means(picture: &RgbImage, rows: usize, columns: usize) -> Vec<f32> {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let mut cells = vec![0.0; rows * columns];
    for (cell, value) in cells.iter_mut().enumerate() {
        let span = |k: usize, of: usize, len: usize| {
            let from = (k * len / of).min(len.saturating_sub(1));
            from..((k + 1) * len / of).clamp(from + 1, len.max(from + 1))
        };
        let (ys, xs) = (span(cell / columns, rows, h), span(cell % columns, columns, w));
        let count = (ys.len() * xs.len()) as f32;
        let mut sum = 0.0;
        for (y, x) in ys.flat_map(|y| xs.clone().map(move |x| (y, x))) {
            let [r, g, b] = picture.get_pixel(x as u32, y as u32).0.map(f32::from);
            sum += 0.299 * r + 0.587 * g + 0.114 * b;
        }
        *value = sum / count;
    }
    cells
}

/// Returns the pairs of matching images of a set, each image with the first that matches.
#[must_use]
pub fn within(set: &[Fingerprint]) -> Vec<(usize, usize)> {
    let first_like = |i: usize| (0..i).find(|&j| set[j].matches(&set[i])).map(|j| (j, i));
    (0..set.len()).filter_map(first_like).collect()
}

/// Returns the indices in both sets for each image of `set` that also occurs in `other`.
#[must_use]
pub fn between(set: &[Fingerprint], other: &[Fingerprint]) -> Vec<(usize, usize)> {
    let first_like = |i: usize| other.iter().position(|o| o.matches(&set[i])).map(|j| (i, j));
    (0..set.len()).filter_map(first_like).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo_data::{DemoImage, SIDE as DEMO};
    use image::{Rgb, imageops};

    fn picture(index: usize) -> RgbImage {
        let pixels = DemoImage::draw(5, index).pixels;
        RgbImage::from_fn(DEMO as u32, DEMO as u32, |x, y| Rgb([pixels[y as usize * DEMO + x as usize]; 3]))
    }

    #[test]
    fn a_resized_and_darkened_copy_is_known_again_and_others_are_not() {
        let images: Vec<RgbImage> = (0..200).map(picture).collect();
        let mut prints: Vec<Fingerprint> = images.iter().map(Fingerprint::of).collect();
        assert_eq!(within(&prints), [], "no two demo images are one");
        let larger = imageops::resize(&images[7], 96, 96, imageops::FilterType::Triangle);
        let noisy = RgbImage::from_fn(48, 48, |x, y| {
            Rgb(images[9].get_pixel(x, y).0.map(|v| v.saturating_add(((x + y) % 4) as u8)))
        });
        prints.push(Fingerprint::of(&larger));
        prints.push(Fingerprint::of(&noisy));
        assert_eq!(within(&prints), [(7, 200), (9, 201)]);
        assert_eq!(between(&prints[200..], &prints[..200]), [(0, 7), (1, 9)]);
    }

    #[test]
    fn plain_images_of_one_layout_are_not_one_image() {
        // Dark on the left, bright on the right, with an object at different positions.
        let plain = |at: u32| {
            RgbImage::from_fn(64, 64, |x, y| {
                Rgb([if x.abs_diff(at) < 6 && y.abs_diff(32) < 6 { 255 } else { 100 + x as u8 }; 3])
            })
        };
        assert!(!Fingerprint::of(&plain(16)).matches(&Fingerprint::of(&plain(48))));
        let flat = Fingerprint::of(&RgbImage::from_pixel(3, 3, Rgb([7; 3])));
        assert!(flat.matches(&flat.clone()));
    }
}
