//! The size of pictures, and scaling to a size.

use std::fmt;
use std::str::FromStr;

use fast_image_resize::pixels::F32;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::data::{bilinear, scale_plane};

/// Minimum length of the longer side; small images are enlarged to it.
const SHOWN_SIDE: usize = 320;
/// Maximum length of the longer side, unless another size is requested.
const MAX_SHOWN_SIDE: usize = 4096;
/// Maximum length of the longer side that can be requested.
const MAX_ASKED_SIDE: usize = 16_384;

/// Size of the pictures of an image; the aspect ratio is preserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum PictureSize {
    /// The size of the image itself. An image whose longer side is below 320 pixels is enlarged by the smallest
    /// integer factor that reaches it, each pixel becoming a square; one above 4096 pixels is reduced to that.
    #[default]
    Auto,
    /// The size of the image itself, without limits.
    Original,
    /// Length of the longer side in pixels.
    Longest(u32),
}

impl PictureSize {
    /// Returns the rows and columns of the picture of an image of `[rows, columns]`, at least 1 each.
    #[must_use]
    pub fn of(self, original: [usize; 2]) -> [usize; 2] {
        let longer = original[0].max(original[1]).max(1);
        let longest = |side: usize| fitted(original, side);
        match self {
            Self::Auto if longer > MAX_SHOWN_SIDE => longest(MAX_SHOWN_SIDE),
            Self::Auto => original.map(|side| side.max(1) * SHOWN_SIDE.div_ceil(longer)),
            Self::Original => original.map(|side| side.max(1)),
            Self::Longest(side) => longest(side as usize),
        }
    }
}

impl FromStr for PictureSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "original" => return Ok(Self::Original),
            _ => {}
        }
        let side = text.parse().ok().filter(|side| (1..=MAX_ASKED_SIDE).contains(&(*side as usize)));
        side.map(Self::Longest).ok_or_else(|| {
            format!(
                "found {text:?}, expected auto, original, or the longer side in pixels from 1 to {MAX_ASKED_SIDE}"
            )
        })
    }
}

impl fmt::Display for PictureSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Original => f.write_str("original"),
            Self::Longest(side) => side.fmt(f),
        }
    }
}

impl From<PictureSize> for String {
    fn from(size: PictureSize) -> Self {
        size.to_string()
    }
}

impl TryFrom<String> for PictureSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Returns the size with a longer side of `side` pixels and the aspect ratio of `[rows, columns]`, at least 1 by 1.
pub fn fitted([rows, columns]: [usize; 2], side: usize) -> [usize; 2] {
    let longer = rows.max(columns).max(1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most `side`")]
    let scaled =
        |length: usize| ((length as f64 * side as f64 / longer).round() as usize).clamp(1, side.max(1));
    [scaled(rows), scaled(columns)]
}

/// Returns the rows and columns of a picture.
pub fn size_of(picture: &RgbImage) -> [usize; 2] {
    [picture.height() as usize, picture.width() as usize]
}

/// Returns the integer factor that enlarges a picture of `[rows, columns]` to `to`, if both sides have the same
/// one.
pub(super) fn whole_factor([rows, columns]: [usize; 2], to: [usize; 2]) -> Option<u32> {
    let factor = to[0] / rows.max(1);
    let whole = factor > 0 && [rows * factor, columns * factor] == to;
    if whole { u32::try_from(factor).ok() } else { None }
}

/// Scales a picture to `[rows, columns]`. An integer enlargement turns each pixel into a square, so that the
/// model's input is shown exactly; otherwise the filter is bilinear, with averaging when shrinking. An empty
/// picture is returned unchanged.
#[must_use]
pub fn scaled(picture: &RgbImage, to: [usize; 2]) -> RgbImage {
    if picture.is_empty() {
        return picture.clone();
    }
    if let Some(factor) = whole_factor(size_of(picture), to) {
        if factor == 1 {
            return picture.clone();
        }
        return RgbImage::from_fn(picture.width() * factor, picture.height() * factor, |x, y| {
            *picture.get_pixel(x / factor, y / factor)
        });
    }
    filtered(picture, to).unwrap_or_else(|| picture.clone())
}

/// Scales bilinearly, channel by channel; `None` for sizes of 0 or beyond 32 bits.
fn filtered(picture: &RgbImage, to: [usize; 2]) -> Option<RgbImage> {
    let mut scaled = RgbImage::new(u32::try_from(to[1]).ok()?, u32::try_from(to[0]).ok()?);
    for channel in 0..3 {
        let plane: Vec<F32> = picture.pixels().map(|pixel| F32::new(f32::from(pixel.0[channel]))).collect();
        let plane = scale_plane(&plane, size_of(picture), to, &bilinear())?;
        for (pixel, value) in scaled.pixels_mut().zip(plane) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 255")]
            let value = value.0.round() as u8;
            pixel.0[channel] = value;
        }
    }
    Some(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn pictures_have_the_size_and_shape_of_the_image() {
        let auto = |rows, columns| PictureSize::Auto.of([rows, columns]);
        assert_eq!(auto(1800, 2400), [1800, 2400]);
        assert_eq!(auto(240, 320), [240, 320]);
        // Small images are enlarged by an integer factor.
        assert_eq!([auto(48, 48), auto(72, 72), auto(40, 200)], [[336, 336], [360, 360], [80, 400]]);
        assert_eq!([auto(1, 1), auto(0, 0), auto(4000, 1)], [[320, 320], [320, 320], [4000, 1]]);
        assert_eq!(auto(3000, 12_000), [1024, 4096]);
        assert_eq!(PictureSize::Original.of([3000, 12_000]), [3000, 12_000]);
        assert_eq!(PictureSize::Original.of([9, 7]), [9, 7]);
        assert_eq!(PictureSize::Longest(800).of([1800, 2400]), [600, 800]);
        assert_eq!(PictureSize::Longest(5).of([1, 4000]), [1, 5]);
    }

    #[test]
    fn sizes_are_read_and_told_as_they_are_written() {
        for text in ["auto", "original", "800"] {
            assert_eq!(text.parse::<PictureSize>().unwrap().to_string(), text);
        }
        for text in ["", "0", "-5", "16385", "99999999999", "800x600", "full"] {
            let reason = text.parse::<PictureSize>().unwrap_err();
            assert!(reason.contains(text) && reason.contains("auto, original"), "{reason}");
        }
    }

    #[test]
    fn whole_factors_make_squares_and_others_a_smooth_picture() {
        let picture = RgbImage::from_fn(95, 2, |x, y| Rgb([x as u8, y as u8, 0]));
        let large = scaled(&picture, [8, 380]);
        assert_eq!((large.dimensions(), large.get_pixel(379, 7).0), ((380, 8), [94, 1, 0]));
        assert_eq!(scaled(&picture, [2, 95]), picture);
        let half = scaled(&RgbImage::from_fn(4, 4, |x, _| Rgb([(x % 2 * 200) as u8; 3])), [2, 2]);
        assert!(half.pixels().all(|p| (60..=140).contains(&p.0[0])), "neither 0 nor 200: {half:?}");
        assert_eq!(scaled(&RgbImage::new(0, 0), [3, 3]).dimensions(), (0, 0));
        assert_eq!(scaled(&picture, [3, 50]).dimensions(), (50, 3));
    }
}
