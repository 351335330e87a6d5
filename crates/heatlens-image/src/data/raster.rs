//! Decoded images as planes of f32 from 0 to 1, whatever the bit depth of the file.

use std::ops::RangeInclusive;
use std::path::Path;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use super::{DataError, MAX_IMAGE_PIXELS, Resize, pillow, read_image};

/// An image with 1 (grey) or more channels, stored channel by channel, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Raster {
    /// Number of channels.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// `channels · height · width` values, from 0 (black) to 1 (full intensity).
    pub values: Vec<f32>,
}

/// Weights of red, green and blue in grey: ITU-R BT.601 luma, as in Pillow's `convert("L")`.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// Range of valid pixels: interpolation slightly exceeds 0 to 1.
const PIXEL_RANGE: RangeInclusive<f32> = -0.5..=1.5;

impl Raster {
    /// Reads an image file; see [`read_image`].
    ///
    /// # Errors
    /// As for [`read_image`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        read_image(path)
    }

    /// Creates an image of `[c, h, w]` from values from 0 to 1, stored channel by channel.
    ///
    /// # Errors
    /// If the number of values does not match the shape, or a value is not a pixel.
    pub fn from_planes([channels, height, width]: [usize; 3], values: Vec<f32>) -> Result<Self, DataError> {
        let wanted = channels.checked_mul(height).and_then(|n| n.checked_mul(width));
        if wanted != Some(values.len()) || values.is_empty() {
            let found = format!("{} values", values.len());
            let expected = format!("{channels}·{height}·{width}, at least one");
            return Err(DataError::Pixels { found, expected });
        }
        if let Some(strange) = values.iter().find(|v| !PIXEL_RANGE.contains(*v)) {
            let expected =
                "pixels from 0 (black) to 1 (full), as in image files: divide bytes by 255".to_owned();
            return Err(DataError::Pixels { found: format!("values such as {strange}"), expected });
        }
        Ok(Self { channels, height, width, values })
    }

    /// Creates an image of `[h, w, c]` from values from 0 to 1, stored pixel by pixel.
    ///
    /// # Errors
    /// As for [`from_planes`](Self::from_planes).
    pub fn from_pixels([height, width, channels]: [usize; 3], values: &[f32]) -> Result<Self, DataError> {
        let plane = |channel| values.iter().skip(channel).step_by(channels.max(1)).copied();
        Self::from_planes([channels, height, width], (0..channels).flat_map(plane).collect())
    }

    /// Creates an image of `[h, w, c]` from bytes, stored pixel by pixel.
    ///
    /// # Errors
    /// As for [`from_planes`](Self::from_planes).
    pub fn from_bytes(shape: [usize; 3], bytes: &[u8]) -> Result<Self, DataError> {
        let values: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
        Self::from_pixels(shape, &values)
    }

    /// Converts to 1 or 3 channels: colour to grey by BT.601 luma, grey to colour by repetition. Images with another
    /// number of channels are returned unchanged.
    pub fn with_channels(self, channels: usize) -> Self {
        let area = self.height * self.width;
        let values = match (self.channels, channels) {
            (3, 1) => {
                let (red, rest) = self.values.split_at(area);
                let (green, blue) = rest.split_at(area);
                let [r, g, b] = LUMA;
                red.iter()
                    .zip(green)
                    .zip(blue)
                    .map(|((red, green), blue)| r * red + g * green + b * blue)
                    .collect()
            }
            (1, 3) => self.values.repeat(3),
            _ => return self,
        };
        Self { channels, values, ..self }
    }

    /// Resizes to `height` × `width` with an antialiased bilinear filter.
    ///
    /// Returns `None` if a size is 0 or exceeds 32 bits, or if an intermediate image would be too large.
    pub fn resized(self, height: usize, width: usize, resize: Resize) -> Option<Self> {
        if let Some(([rows, columns], corner)) = resize.scaled([self.height, self.width], [height, width]) {
            // A strip one pixel high would become huge.
            if rows as u64 * columns as u64 > MAX_IMAGE_PIXELS {
                return None;
            }
            let scaled = if (self.height, self.width) == (rows, columns) {
                self
            } else if let Some(bytes) = self.bytes() {
                // torchvision uses Pillow, which rounds to bytes.
                let from = [self.height, self.width];
                let planes = bytes.chunks_exact(from[0] * from[1]);
                let resized = planes.flat_map(|plane| pillow::resize(plane, from, [rows, columns]));
                let values = resized.map(|byte| f32::from(byte) / 255.0).collect();
                Self { channels: self.channels, height: rows, width: columns, values }
            } else {
                self.resized(rows, columns, Resize::Squash)?
            };
            return scaled.cut(corner, [height, width]);
        }
        if (self.height, self.width) == (height, width) {
            return Some(self);
        }
        let options = match resize {
            Resize::Squash | Resize::Shorter(_) => bilinear(),
            Resize::Crop => bilinear().fit_into_destination(Some((0.5, 0.5))),
        };
        let planes = self.values.chunks_exact(self.height * self.width).map(|plane| {
            let pixels: Vec<F32> = plane.iter().map(|&value| F32::new(value)).collect();
            scale_plane(&pixels, [self.height, self.width], [height, width], &options)
        });
        let values = planes.collect::<Option<Vec<_>>>()?.concat();
        let values = values.iter().map(|pixel| pixel.0).collect();
        Some(Self { channels: self.channels, height, width, values })
    }

    /// Returns the values as bytes, if all of them are.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole numbers within 0..=255"
    )]
    fn bytes(&self) -> Option<Vec<u8>> {
        let byte = |value: &f32| {
            let scaled = value * 255.0;
            let whole = scaled.round();
            ((scaled - whole).abs() < 1e-3 && (0.0..=255.0).contains(&whole)).then_some(whole as u8)
        };
        self.values.iter().map(byte).collect()
    }

    /// Crops to `size` at the first row and column `corner`. Returns `None` if the crop extends beyond the image.
    fn cut(&self, corner: [usize; 2], [height, width]: [usize; 2]) -> Option<Self> {
        let mut values = Vec::with_capacity(self.channels * height * width);
        for plane in self.values.chunks_exact((self.height * self.width).max(1)) {
            for line in plane.chunks_exact(self.width.max(1)).skip(corner[0]).take(height) {
                values.extend(line.get(corner[1]..corner[1].checked_add(width)?)?);
            }
        }
        let whole = values.len() == self.channels * height * width;
        whole.then_some(Self { channels: self.channels, height, width, values })
    }

    /// Converts to an 8-bit picture for display: `low` becomes black and `high` full intensity. Images with 3 channels
    /// are in colour; for other counts the mean of the channels is shown in grey.
    pub fn to_picture(&self, low: f32, high: f32) -> RgbImage {
        let gain = 255.0 / (high - low).max(f32::MIN_POSITIVE);
        let bytes = |plane: &[f32]| plane.iter().map(|value| byte((value - low) * gain)).collect::<Vec<u8>>();
        let area = self.height * self.width;
        let planes: Vec<&[f32]> = self.values.chunks_exact(area.max(1)).collect();
        // A raster is at most as large as an array, whose sides fit; a side beyond 32 bits gives an empty picture.
        let [width, height] = [self.width, self.height].map(|side| u32::try_from(side).unwrap_or(0));
        let mut picture = RgbImage::new(width, height);
        let (pixels, _) = picture.as_chunks_mut::<3>();
        if let [red, green, blue] = planes[..] {
            let [red, green, blue] = [red, green, blue].map(bytes);
            for (((pixel, red), green), blue) in pixels.iter_mut().zip(red).zip(green).zip(blue) {
                *pixel = [red, green, blue];
            }
        } else {
            let grey = if let [grey] = planes[..] { bytes(grey) } else { bytes(&mean(&planes, area)) };
            pixels.iter_mut().zip(grey).for_each(|(pixel, grey)| *pixel = [grey; 3]);
        }
        picture
    }
}

/// Returns the mean of planes of the same length.
fn mean(planes: &[&[f32]], len: usize) -> Vec<f32> {
    let mut mean = vec![0.0; len];
    for plane in planes {
        mean.iter_mut().zip(*plane).for_each(|(sum, value)| *sum += value);
    }
    mean.iter_mut().for_each(|sum| *sum /= planes.len().max(1) as f32);
    mean
}

/// Rounds to a byte, halves up; 0 for NaN. Compiles to vector instructions, unlike `f32::round` and the conversion `as u8`.
fn byte(value: f32) -> u8 {
    // From 2^23 to 2^24, floats are the whole numbers, and their lowest bits are the number's.
    const WHOLE: f32 = 8_388_608.0;
    let value = if value > 0.0 { value.min(255.0) } else { 0.0 };
    let nearest = (value + WHOLE) - WHOLE; // halves to even
    let rounded = if value - nearest == 0.5 { nearest + 1.0 } else { nearest };
    (rounded + WHOLE).to_bits().to_le_bytes()[0]
}

/// Returns the filter for resizing: bilinear, with averaging when shrinking.
pub(crate) fn bilinear() -> ResizeOptions {
    ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
}

/// Resizes one plane from `from` to `to`, both (height, width).
///
/// All resizing goes through this function, with images of one type: each type compiles filters of its own, those of
/// bytes hundreds of them.
pub(crate) fn scale_plane(
    pixels: &[F32],
    from: [usize; 2],
    to: [usize; 2],
    options: &ResizeOptions,
) -> Option<Vec<F32>> {
    let side = |size: usize| u32::try_from(size).ok();
    let source = TypedImageRef::new(side(from[1])?, side(from[0])?, pixels).ok()?;
    let mut target = TypedImage::<F32>::new(side(to[1])?, side(to[0])?);
    Resizer::new().resize_typed(&source, &mut target, options).ok()?;
    Some(target.pixels().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(height: usize, width: usize, values: &[f32]) -> Raster {
        Raster { channels: 1, height, width, values: values.to_vec() }
    }

    #[test]
    fn shrinking_averages_and_keeps_precision() {
        let fine = 1.0 / 65535.0;
        let raster = grey(2, 4, &[fine, fine, fine, fine, fine, fine, fine, fine]);
        for value in raster.resized(1, 2, Resize::Squash).unwrap().values {
            assert!((value - fine).abs() < 1e-9);
        }
    }

    #[test]
    fn crop_keeps_the_aspect_and_squash_does_not() {
        let raster = grey(2, 4, &[9.0, 1.0, 1.0, 9.0, 9.0, 1.0, 1.0, 9.0]);
        assert_eq!(raster.clone().resized(2, 2, Resize::Crop).unwrap().values, [1.0; 4]);
        assert!(
            raster.clone().resized(2, 2, Resize::Squash).unwrap().values.iter().all(|&value| value > 3.0)
        );
        assert_eq!(raster.clone().resized(2, 2, Resize::Shorter(2)).unwrap().values, [1.0; 4]);
        assert_eq!(
            raster.clone().resized(1, 1, Resize::Shorter(2)).unwrap().values,
            [1.0],
            "row 0, column 2"
        );
        assert!(raster.resized(3, 3, Resize::Shorter(2)).is_none());
        let strip = Raster { channels: 1, height: 1, width: 1 << 20, values: vec![0.0; 1 << 20] };
        assert!(strip.resized(200, 200, Resize::Shorter(256)).is_none(), "256 lines of 2^28");
    }

    #[test]
    fn grey_and_colour() {
        let colour = Raster { channels: 3, height: 1, width: 2, values: vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0] };
        assert_eq!(colour.clone().with_channels(1).values, [0.299, 0.587]);
        assert_eq!(grey(1, 1, &[0.5]).with_channels(3).values, [0.5; 3]);
        assert_eq!(colour.to_picture(0.0, 1.0).as_raw(), &[255, 0, 0, 0, 255, 0]);
        assert_eq!(grey(1, 2, &[-1.0, 1.0]).to_picture(-1.0, 1.0).as_raw(), &[0, 0, 0, 255, 255, 255]);
        let two = Raster { channels: 2, height: 1, width: 1, values: vec![0.2, 0.6] };
        assert_eq!(two.to_picture(0.0, 1.0).as_raw(), &[102; 3], "the mean");
        let empty = Raster { channels: 1, height: 0, width: 4, values: vec![] };
        assert!(empty.to_picture(0.0, 1.0).is_empty());
    }

    #[test]
    fn bytes_are_rounded_like_floats() {
        let near = (0..=256).flat_map(|n| {
            let half = n as f32 + 0.5;
            [half.next_down(), half, half.next_up(), n as f32]
        });
        for value in near.chain([-1.0, -0.5, 1e9, f32::INFINITY, f32::NEG_INFINITY, 0.499_999_97]) {
            assert_eq!(byte(value), value.round().clamp(0.0, 255.0) as u8, "{value}");
        }
        assert_eq!([f32::NAN, f32::from_bits(0x7fc0_0001)].map(byte), [0; 2]);
    }
}
