//! Data augmentation: random flips, shifts and rotations.
//!
//! Pixels of the result are read from the original at the inversely transformed position, with bilinear
//! interpolation; beyond the border, the nearest pixel is used, as in Keras' preprocessing. The transformation of
//! an image depends on the seed, the epoch and the sample alone.

use crate::random::{Key, Rng, Use};

/// Random transformations of images. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Augmentation {
    /// Mirror horizontally with a probability of ½.
    pub flip_horizontal: bool,
    /// Mirror vertically with a probability of ½.
    pub flip_vertical: bool,
    /// Maximum shift in each direction, as a share of height and width, in [0, 1].
    pub shift: f32,
    /// Maximum rotation in each direction, in degrees.
    pub rotation: f32,
}

/// A transformation: result pixel (y, x) is read at `matrix` · (y, x) + `offset`, both relative to the image's
/// centre.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Change {
    matrix: [[f64; 2]; 2],
    offset: [f64; 2],
}

impl Augmentation {
    /// Returns true if images remain unchanged.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        *self == Self::default()
    }

    /// Transforms one image (`pixels` of shape `[c, h, w]`) for this sample and epoch. All channels are transformed
    /// alike. If `pixels` does not have c·h·w values, it is left unchanged.
    pub fn apply(&self, pixels: &mut [f32], shape: [usize; 3], seed: u64, epoch: u64, sample: u64) {
        let [c, h, w] = shape;
        let area = h.saturating_mul(w);
        if self.is_identity() || area == 0 || pixels.len() != c.saturating_mul(area) {
            return;
        }
        let mut rng = Key::new(seed, Use::Augment).at(epoch).at(sample).rng();
        let change = self.draw(&mut rng, h, w);
        for channel in pixels.chunks_exact_mut(area) {
            change.apply(channel, h, w);
        }
    }

    /// Always draws the same number of random numbers, so that one option does not affect another.
    #[allow(clippy::cast_precision_loss)]
    fn draw(&self, rng: &mut Rng, h: usize, w: usize) -> Change {
        let mut sign = |on: bool| if rng.coin() && on { -1.0 } else { 1.0 };
        let (mirror_y, mirror_x) = (sign(self.flip_vertical), sign(self.flip_horizontal));
        let mut symmetric = |limit: f64| rng.between(-limit, limit);
        let shift = f64::from(self.shift);
        let offset = [symmetric(shift) * h as f64, symmetric(shift) * w as f64];
        let angle = symmetric(f64::from(self.rotation)).to_radians();
        let (sin, cos) = (libm::sin(angle), libm::cos(angle));
        Change { matrix: [[mirror_y * cos, -mirror_y * sin], [mirror_x * sin, mirror_x * cos]], offset }
    }
}

impl Change {
    #[allow(clippy::cast_precision_loss)]
    fn apply(&self, channel: &mut [f32], h: usize, w: usize) {
        let original = channel.to_vec();
        let (middle_y, middle_x) = ((h - 1) as f64 / 2.0, (w - 1) as f64 / 2.0);
        let [[yy, yx], [xy, xx]] = self.matrix;
        for (i, pixel) in channel.iter_mut().enumerate() {
            let (y, x) = ((i / w) as f64 - middle_y, (i % w) as f64 - middle_x);
            let from_y = yy * y + yx * x + self.offset[0] + middle_y;
            let from_x = xy * y + xx * x + self.offset[1] + middle_x;
            *pixel = bilinear(&original, h, w, from_y, from_x);
        }
    }
}

/// Returns the interpolated value at a position; positions beyond the border are clamped.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn bilinear(image: &[f32], h: usize, w: usize, y: f64, x: f64) -> f32 {
    let (y, x) = (y.clamp(0.0, (h - 1) as f64), x.clamp(0.0, (w - 1) as f64));
    let (top, left) = (y as usize, x as usize);
    let (bottom, right) = ((top + 1).min(h - 1), (left + 1).min(w - 1));
    let (down, along) = ((y - top as f64) as f32, (x - left as f64) as f32);
    let row = |y: usize| {
        let (a, b) = (image[y * w + left], image[y * w + right]);
        a + (b - a) * along
    };
    let (above, below) = (row(top), row(bottom));
    above + (below - above) * down
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [2, 3, 4];

    fn image() -> Vec<f32> {
        (0u8..24).map(f32::from).collect()
    }

    fn changed(augmentation: Augmentation, epoch: u64, sample: u64) -> Vec<f32> {
        let mut pixels = image();
        augmentation.apply(&mut pixels, SHAPE, 5, epoch, sample);
        pixels
    }

    fn moved(matrix: [[f64; 2]; 2], offset: [f64; 2], pixels: &[f32], h: usize, w: usize) -> Vec<f32> {
        let mut pixels = pixels.to_vec();
        Change { matrix, offset }.apply(&mut pixels, h, w);
        pixels
    }

    #[test]
    fn flips_come_every_other_time_and_mirror_all_channels() {
        let flip = Augmentation { flip_horizontal: true, ..Augmentation::default() };
        let mirrored: Vec<f32> = image().chunks(4).flat_map(|row| row.iter().rev().copied()).collect();
        let mut count = 0;
        for sample in 0..200 {
            let found = changed(flip, 0, sample);
            assert!(found == mirrored || found == image());
            count += usize::from(found == mirrored);
        }
        assert!((70..130).contains(&count), "{count}");
        let flip = Augmentation { flip_vertical: true, ..Augmentation::default() };
        let upside_down = [8.0, 9.0, 10.0, 11.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0];
        assert!((0..20).any(|sample| changed(flip, 0, sample)[..12] == upside_down));
    }

    #[test]
    fn shifts_interpolate_and_repeat_the_border() {
        let identity = [[1.0, 0.0], [0.0, 1.0]];
        assert_eq!(moved(identity, [0.0, 0.5], &[0.0, 1.0, 4.0], 1, 3), [0.5, 2.5, 4.0]);
        assert_eq!(moved(identity, [-1.0, 0.0], &[0.0, 1.0, 4.0], 3, 1), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_quarter_turn_moves_every_pixel() {
        let quarter = [[0.0, -1.0], [1.0, 0.0]];
        let turned = moved(quarter, [0.0, 0.0], &[1.0, 2.0, 3.0, 4.0], 2, 2);
        assert_eq!(turned, [3.0, 1.0, 4.0, 2.0]);
    }

    #[test]
    fn draws_stay_within_their_limits() {
        let all = Augmentation { flip_horizontal: true, flip_vertical: true, shift: 0.25, rotation: 30.0 };
        let (mut furthest, mut steepest) = (0.0f64, 1.0f64);
        for sample in 0..500 {
            let change = all.draw(&mut Key::new(1, Use::Augment).at(sample).rng(), 8, 16);
            assert!(change.offset[0].abs() <= 2.0 && change.offset[1].abs() <= 4.0);
            let [[a, b], [c, d]] = change.matrix;
            assert!(
                ((a * d - b * c).abs() - 1.0).abs() < 1e-12 && a.abs() >= 30f64.to_radians().cos() - 1e-12
            );
            furthest = furthest.max(change.offset[1].abs());
            steepest = steepest.min(a.abs());
        }
        assert!(furthest > 3.9 && steepest < 29f64.to_radians().cos());
    }

    #[test]
    fn the_key_alone_decides() {
        let all = Augmentation { flip_horizontal: true, flip_vertical: true, shift: 0.2, rotation: 20.0 };
        assert_eq!(changed(all, 1, 2), changed(all, 1, 2));
        assert_ne!(changed(all, 1, 2), changed(all, 1, 3));
        assert_ne!(changed(all, 1, 2), changed(all, 2, 2));
        assert_eq!(changed(Augmentation::default(), 1, 2), image());
        let mut odd = vec![1.0; 5];
        all.apply(&mut odd, SHAPE, 0, 0, 0);
        assert_eq!(odd, [1.0; 5]);
    }
}
