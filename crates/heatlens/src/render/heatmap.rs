//! Layer maps as pictures, by themselves and over the image they explain.

use image::{Rgb, RgbImage};

use super::canvas::{INK, NEUTRAL, blend, fill};
use super::text::{draw_text, line_height, text_width, wrap};
use super::{Colormap, RenderError};

/// A map of finite numbers, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Map {
    /// A map of `height · width` finite values, at least one.
    pub fn new(height: usize, width: usize, values: Vec<f32>) -> Result<Self, RenderError> {
        if values.is_empty() || height.checked_mul(width) != Some(values.len()) {
            let found = format!("a map of {} values as {height} × {width}", values.len());
            return Err(RenderError::Shape {
                found,
                expected: "height · width values, at least one".to_owned(),
            });
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(RenderError::NotFinite { position: vec![at / width, at % width], value: values[at] });
        }
        Ok(Self { height, width, values })
    }

    /// Lines.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The evidence for: negative values become 0, the largest 1. `None` where nothing is positive.
    pub fn positive(&self) -> Option<Self> {
        let largest = self.values.iter().fold(0.0_f32, |largest, &value| largest.max(value));
        (largest > 0.0).then(|| self.mapped(|value| value.max(0.0) / largest))
    }

    /// The evidence for and against: divided by the largest absolute value, so that 0 stays 0. `None` where all
    /// is 0.
    pub fn symmetric(&self) -> Option<Self> {
        let largest = self.values.iter().fold(0.0_f32, |largest, &value| largest.max(value.abs()));
        (largest > 0.0).then(|| self.mapped(|value| value / largest))
    }

    /// Resized with [`resize`](crate::bilinear::resize).
    pub fn resized(&self, height: usize, width: usize) -> Self {
        let values = crate::bilinear::resize(&self.values, [self.height, self.width], [height, width]);
        Self { height, width, values }
    }

    fn mapped(&self, f: impl Fn(f32) -> f32) -> Self {
        Self {
            height: self.height,
            width: self.width,
            values: self.values.iter().map(|&value| f(value)).collect(),
        }
    }
}

/// How heat is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatStyle {
    /// The colours; `RedBlue` draws a signed map, every other the positive part.
    pub colormap: Colormap,
    /// How much of the image the strongest heat covers in an overlay, 0 to 1.
    pub opacity: f32,
}

impl HeatStyle {
    /// Evidence for the class.
    pub const POSITIVE: Self = Self { colormap: Colormap::Inferno, opacity: 0.75 };
    /// Evidence for and against.
    pub const SIGNED: Self = Self { colormap: Colormap::RedBlue, opacity: 0.75 };

    /// The map as values from −1 (or 0) to 1 at the picture's size: normalised first, then resized, so that the
    /// strongest place of the layer sets the scale. `None` where there is nothing to draw.
    fn normalised(self, raw: &Map, width: u32, height: u32) -> Option<Map> {
        let map = if self.colormap == Colormap::RedBlue { raw.symmetric() } else { raw.positive() };
        Some(map?.resized(height as usize, width as usize))
    }
}

/// Draws `raw` as a picture of `width` × `height`. A map with nothing to draw (all 0, or nothing positive) becomes a
/// neutral picture that says `reason`, never a black one.
pub fn heatmap(raw: &Map, width: u32, height: u32, style: HeatStyle, reason: &str) -> RgbImage {
    let Some(map) = style.normalised(raw, width, height) else {
        return reason_picture(width, height, reason);
    };
    let (mut picture, colors) = (RgbImage::new(width, height), style.colormap.table());
    for (pixel, &value) in picture.pixels_mut().zip(&map.values) {
        *pixel = Rgb(colors.color(value));
    }
    picture
}

/// Draws `raw` over `image`, which becomes grey so that all colour is heat. The heat's own strength |v| (from 0 to 1)
/// sets how much it covers, `style.opacity · |v|`: where there is no heat the image is untouched. A map with nothing to draw
/// leaves the image as it is, with `reason` written on it.
pub fn overlay(raw: &Map, image: &RgbImage, style: HeatStyle, reason: &str) -> RgbImage {
    let (width, height) = image.dimensions();
    let mut picture = image.clone();
    let Some(map) = style.normalised(raw, width, height) else {
        write_reason(&mut picture, reason);
        return picture;
    };
    let colors = style.colormap.table();
    for (pixel, &value) in picture.pixels_mut().zip(&map.values) {
        let [r, g, b] = pixel.0.map(f32::from);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of bytes")]
        let grey = (0.299 * r + 0.587 * g + 0.114 * b + 0.5) as u8;
        *pixel = Rgb([grey; 3]);
        blend(pixel, colors.color(value), style.opacity * value.abs());
    }
    picture
}

/// A neutral picture that carries a sentence: what stands where a map has nothing to show.
pub fn reason_picture(width: u32, height: u32, reason: &str) -> RgbImage {
    let mut picture = RgbImage::from_pixel(width, height, Rgb(NEUTRAL));
    write_reason(&mut picture, reason);
    picture
}

/// Writes a sentence on a light ground in the middle of a picture, in the largest size in which it fits.
fn write_reason(picture: &mut RgbImage, reason: &str) {
    let (width, height) = picture.dimensions();
    let room = width.saturating_sub(width / 10) as f32;
    let lines_at = |size: f32| wrap(reason, size, room);
    let fits = |size: &f32| lines_at(*size).len() as f32 * line_height(*size) < height as f32 * 0.9;
    let size = [20.0, 17.0, 14.0, 12.0, 10.0, 8.0].into_iter().find(fits).unwrap_or(8.0);
    let lines = lines_at(size);
    let block = lines.len() as f32 * line_height(size);
    let mut y = ((height as f32 - block) / 2.0).max(0.0);
    #[expect(clippy::cast_possible_truncation, reason = "positions within a picture")]
    fill(picture, 0, (y - size * 0.5) as i32, width, (block + size) as u32, NEUTRAL, 0.85);
    for line in lines {
        draw_text(picture, (width as f32 - text_width(&line, size)) / 2.0, y, size, INK, &line);
        y += line_height(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalising() {
        let map = Map::new(1, 3, vec![-4.0, 0.0, 2.0]).unwrap();
        assert_eq!(map.positive().unwrap().values, [0.0, 0.0, 1.0]);
        assert_eq!(map.symmetric().unwrap().values, [-1.0, 0.0, 0.5]);
        assert!(Map::new(1, 2, vec![-1.0, 0.0]).unwrap().positive().is_none());
        assert!(Map::new(1, 1, vec![0.0]).unwrap().symmetric().is_none());
        assert!(Map::new(2, 2, vec![0.0]).is_err());
        assert!(Map::new(0, 2, vec![]).is_err());
        assert!(Map::new(1, 1, vec![f32::NAN]).is_err());
    }

    #[test]
    fn an_empty_map_is_a_sentence_and_never_black() {
        let zero = Map::new(2, 2, vec![0.0; 4]).unwrap();
        let picture = heatmap(&zero, 320, 320, HeatStyle::POSITIVE, "every channel of this layer is dead");
        assert_eq!(*picture.get_pixel(0, 0), Rgb(NEUTRAL));
        assert!(picture.pixels().filter(|pixel| pixel.0[0] < 100).count() > 100, "the sentence is missing");
        let image = RgbImage::from_pixel(320, 320, Rgb([9, 99, 199]));
        let over = overlay(&zero, &image, HeatStyle::SIGNED, "why");
        assert_eq!(*over.get_pixel(0, 0), Rgb([9, 99, 199]));
        assert_ne!(over, image);
    }

    #[test]
    fn no_heat_leaves_the_image_as_it_is() {
        let map = Map::new(1, 2, vec![0.0, 1.0]).unwrap();
        let image = RgbImage::from_pixel(2, 1, Rgb([80; 3]));
        let over = overlay(&map, &image, HeatStyle::POSITIVE, "");
        assert_eq!(*over.get_pixel(0, 0), Rgb([80; 3]));
        assert!(over.get_pixel(1, 0).0[0] > 190);
    }
}
