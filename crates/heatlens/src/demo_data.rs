//! Synthetic data set with known ground truth: *find the ring in the clutter*.
//!
//! Every image is a dark, noisy field with two to four small objects and up to two strokes. In class 1 one of the
//! objects is a ring; all others are discs and crosses. All three shapes have the same area and the same greys, and the
//! number of objects varies, so that neither the brightness of an image nor its other content reveals the class: only
//! the ring does. It fits into the receptive field of one position of the demo's network (10 pixels), and its mask is
//! known, so the heat that falls on it can be measured.

use std::f64::consts::{PI, TAU};

use crate::random::{Key, Rng, Use};

/// Height and width of the images in pixels.
pub const SIDE: usize = 48;

/// Names of the two classes, in order.
pub const CLASS_NAMES: [&str; 2] = ["no ring", "ring"];

/// Radius of the ring's centre line and width of all strokes, in pixels.
const RING_RADIUS: f64 = 2.7;
const STROKE: f64 = 1.4;
/// Area of every object in pixels.
const INK: f64 = TAU * RING_RADIUS * STROKE;
/// Minimum distance of object centres from the border and from each other, in pixels.
const MARGIN: f64 = 8.0;
const APART: f64 = 11.0;
/// Greys of the field and of the objects, from 0 (black) to 1 (white).
const FIELD: (f64, f64) = (0.05, 0.10);
const DRAWN: (f64, f64) = (0.7, 1.0);
const GRADIENT: f64 = 0.12;
const NOISE: f64 = 0.02;

/// An image with its ground truth.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoImage {
    /// Greys, [`SIDE`] × [`SIDE`], row by row, in 8 bits, so that an image file holds them exactly.
    pub pixels: Vec<u8>,
    /// 1 if there is a ring, otherwise 0.
    pub label: usize,
    /// Mask of the ring: a disc including the hole, half a pixel larger than the outer edge. Empty in class 0.
    pub mask: Vec<bool>,
}

/// Generates images `0..n`, with alternating classes. Image i depends on `seed` and i alone.
#[must_use]
pub fn generate(n: usize, seed: u64) -> Vec<DemoImage> {
    (0..n).map(|index| DemoImage::draw(seed, index)).collect()
}

impl DemoImage {
    /// Draws image `index`; those with an odd index have a ring.
    #[must_use]
    pub fn draw(seed: u64, index: usize) -> Self {
        let mut rng = Key::new(seed, Use::DemoData).at(index as u64).rng();
        let label = index % 2;
        let mut canvas = Canvas::field(&mut rng);
        for _ in 0..rng.below(3) {
            let (centre, angle, length) = (place(&mut rng), rng.between(0.0, PI), rng.between(10.0, 24.0));
            let grey = rng.between(DRAWN.0, DRAWN.1);
            canvas.paint(grey, |p| STROKE / 2.0 - distance_to_stroke(p, centre, angle, length / 2.0));
        }
        let mut mask = vec![false; SIDE * SIDE];
        for (position, centre) in places(&mut rng).into_iter().enumerate() {
            let grey = rng.between(DRAWN.0, DRAWN.1);
            if position == 0 && label == 1 {
                canvas.paint(grey, |p| STROKE / 2.0 - (distance(p, centre) - RING_RADIUS).abs());
                let within = |p| distance(p, centre) <= RING_RADIUS + STROKE / 2.0 + 0.5;
                mask = pixels().map(within).collect();
            } else if rng.coin() {
                let (arm, angle) = ((INK / STROKE - STROKE) / 4.0, rng.between(0.0, PI / 2.0));
                for angle in [angle, angle + PI / 2.0] {
                    canvas.paint(grey, |p| STROKE / 2.0 - distance_to_stroke(p, centre, angle, arm));
                }
            } else {
                canvas.paint(grey, |p| (INK / PI).sqrt() - distance(p, centre));
            }
        }
        Self { pixels: canvas.noisy_bytes(&mut rng), label, mask }
    }

    /// Returns the greys from 0 to 1, as used in training and explanation.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        self.pixels.iter().map(|&p| f32::from(p) / 255.0).collect()
    }
}

/// Position (y, x) in pixels.
type Point = [f64; 2];

/// Returns the centres of the pixels, row by row.
#[allow(clippy::cast_precision_loss)]
fn pixels() -> impl Iterator<Item = Point> {
    (0..SIDE * SIDE).map(|i| [(i / SIDE) as f64, (i % SIDE) as f64])
}

fn distance(p: Point, q: Point) -> f64 {
    ((p[0] - q[0]).powi(2) + (p[1] - q[1]).powi(2)).sqrt()
}

/// Returns the distance to a straight stroke centred at `centre`.
fn distance_to_stroke(p: Point, centre: Point, angle: f64, half_length: f64) -> f64 {
    let along = [libm::sin(angle), libm::cos(angle)];
    let t = (p[0] - centre[0]) * along[0] + (p[1] - centre[1]) * along[1];
    let t = t.clamp(-half_length, half_length);
    distance(p, [centre[0] + t * along[0], centre[1] + t * along[1]])
}

#[allow(clippy::cast_precision_loss)]
fn place(rng: &mut Rng) -> Point {
    let end = (SIDE - 1) as f64 - MARGIN;
    [rng.between(MARGIN, end), rng.between(MARGIN, end)]
}

/// Returns the positions of the objects: two to four places with a minimum distance.
fn places(rng: &mut Rng) -> Vec<Point> {
    let count = 2 + rng.below(3);
    let mut places: Vec<Point> = Vec::new();
    while places.len() < count {
        let tried = place(rng);
        // Four circles of this size never fill the field, so a free place is always found.
        if places.iter().all(|&other| distance(tried, other) > APART) {
            places.push(tried);
        }
    }
    places
}

/// Image being drawn, as greys.
struct Canvas(Vec<f64>);

impl Canvas {
    /// Returns an empty field with a slight brightness gradient.
    #[allow(clippy::cast_precision_loss)]
    fn field(rng: &mut Rng) -> Self {
        let (grey, slope) = (rng.between(FIELD.0, FIELD.1), rng.between(0.0, GRADIENT));
        let angle = rng.between(0.0, TAU);
        let (along_y, along_x) = (libm::sin(angle) * slope, libm::cos(angle) * slope);
        let part = |v: f64| v / SIDE as f64 - 0.5;
        Self(pixels().map(|[y, x]| grey + along_y * part(y) + along_x * part(x)).collect())
    }

    /// Paints a shape, given the signed distance to its outline (positive `inside`). The outline is blended over half a
    /// pixel on either side. Pixels never become darker.
    fn paint(&mut self, grey: f64, inside: impl Fn(Point) -> f64) {
        for (value, point) in self.0.iter_mut().zip(pixels()) {
            let cover = (inside(point) + 0.5).clamp(0.0, 1.0);
            *value += cover * (grey - *value).max(0.0);
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn noisy_bytes(&self, rng: &mut Rng) -> Vec<u8> {
        let byte = |v: &f64| ((v + NOISE * rng.normal()).clamp(0.0, 1.0) * 255.0).round() as u8;
        self.0.iter().map(byte).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::classifier::binary_auc;

    /// Returns how well one number per image separates the classes, in either direction.
    fn giveaway(images: &[DemoImage], number: impl Fn(&[f32]) -> f32) -> f64 {
        let numbers: Vec<f32> = images.iter().map(|i| number(&i.to_f32())).collect();
        let positive: Vec<bool> = images.iter().map(|i| i.label == 1).collect();
        let auc = binary_auc(&numbers, &positive).unwrap();
        auc.max(1.0 - auc)
    }

    #[test]
    #[allow(clippy::cast_precision_loss)]
    fn brightness_does_not_give_the_class_away() {
        let mean = |x: &[f32]| x.iter().sum::<f32>() / x.len() as f32;
        let variance = |x: &[f32]| {
            let mean_of_x = mean(x);
            mean(&x.iter().map(|v| (v - mean_of_x).powi(2)).collect::<Vec<_>>())
        };
        for seed in 0..3 {
            let images = generate(1000, seed);
            let found = [
                giveaway(&images, mean),
                giveaway(&images, |x| x.iter().copied().fold(0.0, f32::max)),
                giveaway(&images, variance),
                giveaway(&images, |x| x.iter().copied().fold(1.0, f32::min)),
                giveaway(&images, |x| x.iter().filter(|v| **v > 0.4).count() as f32),
            ];
            println!("seed {seed}: AUC of mean, maximum, variance, minimum, bright pixels {found:.3?}");
            assert!(found.iter().all(|a| *a <= 0.6), "{found:?}");
        }
    }

    #[test]
    fn the_mask_is_the_ring() {
        for image in generate(200, 4) {
            let area = image.mask.iter().filter(|m| **m).count();
            if image.label == 0 {
                assert_eq!(area, 0);
                continue;
            }
            // π · 3.9² = 48.
            assert!((44..=52).contains(&area), "{area}");
            let bright = image.pixels.iter().zip(&image.mask).filter(|(p, m)| **m && **p > 128).count();
            assert!((14..=40).contains(&bright), "{bright}");
        }
    }

    #[test]
    fn an_image_depends_on_its_seed_and_number_alone() {
        assert_eq!(DemoImage::draw(3, 77), generate(80, 3)[77]);
        assert_ne!(DemoImage::draw(3, 77), DemoImage::draw(4, 77));
        assert_ne!(DemoImage::draw(3, 77), DemoImage::draw(3, 79));
        let sum: u64 = generate(4, 0).iter().flat_map(|i| &i.pixels).map(|&p| u64::from(p)).sum();
        assert_eq!(sum, 258_396, "these images are for good: the README shows them");
    }
}
