//! Layer maps as pictures, alone and over the image they explain.

use image::{Rgb, RgbImage};

use super::canvas::{INK, MUTED, NEUTRAL, blend, fill};
use super::text::{draw_text, line_height, text_width, wrap};
use super::{Colormap, CropTransform, RenderError};
use crate::placement::Placement;

/// A map of finite values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    height: usize,
    width: usize,
    values: Vec<f32>,
    placement: Placement,
}

impl Map {
    /// Creates a map of `height · width` finite values, at least one.
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
        Ok(Self { height, width, values, placement: Placement::EVEN })
    }

    /// Returns the map with its cells at `placement` on the model input. By default, they are spread evenly over
    /// it.
    #[must_use]
    pub fn placed(self, placement: Placement) -> Self {
        Self { placement, ..self }
    }

    /// Returns the positions of the cells on the model input.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the values in row-major order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Consumes the map and returns its values in row-major order.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Returns the positive evidence: negative values become 0, the largest 1. `None` if no value is positive.
    pub fn positive(&self) -> Option<Self> {
        let largest = self.values.iter().fold(0.0_f32, |largest, &value| largest.max(value));
        (largest > 0.0).then(|| self.mapped(|value| value.max(0.0) / largest))
    }

    /// Returns evidence of both signs, divided by the largest absolute value so that 0 stays 0. `None` if all
    /// values are 0.
    pub fn symmetric(&self) -> Option<Self> {
        let largest = self.values.iter().fold(0.0_f32, |largest, &value| largest.max(value.abs()));
        (largest > 0.0).then(|| self.mapped(|value| value / largest))
    }

    /// Upsamples the map to an image of this size that the model sees in full; see [`CropTransform::project`].
    pub fn resized(&self, height: usize, width: usize) -> Self {
        CropTransform::whole([height, width]).project(self)
    }

    /// Returns a map of a single 0, for which nothing is drawn.
    pub fn nothing() -> Self {
        Self::finite(1, 1, vec![0.0])
    }

    /// Creates a map without checks; the caller guarantees `height · width` finite values.
    pub(super) fn finite(height: usize, width: usize, values: Vec<f32>) -> Self {
        Self { height, width, values, placement: Placement::EVEN }
    }

    fn mapped(&self, f: impl Fn(f32) -> f32) -> Self {
        Self {
            height: self.height,
            width: self.width,
            values: self.values.iter().map(|&value| f(value)).collect(),
            placement: self.placement,
        }
    }
}

/// Style of drawn heat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatStyle {
    /// Colormap; `RedBlue` draws signed maps, all others the positive part.
    pub colormap: Colormap,
    /// Opacity of strong heat in an overlay, 0 to 1.
    pub opacity: f32,
}

impl HeatStyle {
    /// Positive evidence.
    pub const POSITIVE: Self = Self { colormap: Colormap::Inferno, opacity: 0.75 };
    /// Evidence of both signs.
    pub const SIGNED: Self = Self { colormap: Colormap::RedBlue, opacity: 0.75 };

    /// Returns the opacity of heat of `value`: 0 at 0, rising along a smooth step to `opacity` at half of the
    /// strongest heat.
    #[must_use]
    pub fn cover(self, value: f32) -> f32 {
        self.opacity * smooth_step(value.abs() / FULL_COVER)
    }

    /// Normalizes the map to −1 (or 0) to 1, then upsamples it, so that the layer's strongest cell sets the scale.
    /// `None` if there is nothing to draw.
    fn normalised(self, raw: &Map, view: &CropTransform) -> Option<Map> {
        let map = if self.colormap == Colormap::RedBlue { raw.symmetric() } else { raw.positive() };
        Some(view.project(&map?))
    }
}

/// Heat from which on the overlay has its full opacity.
const FULL_COVER: f32 = 0.5;
/// Heat from which on the image beneath is grey: lower than [`FULL_COVER`], so that colours under strong heat are
/// heat.
const ALL_GREY: f32 = 0.35;

/// Smooth step from 0 at 0 to 1 at 1, with zero slope at both ends; constant beyond.
fn smooth_step(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Draws `raw` at the size of the view. A map with nothing to draw (all 0, or nothing positive) becomes a neutral
/// picture with the text `reason`, never a black one. The part that the model does not see is neutral, and the seen
/// part is framed.
pub fn heatmap(raw: &Map, view: &CropTransform, style: HeatStyle, reason: &str) -> RgbImage {
    let (width, height) = dimensions(view);
    let Some(map) = style.normalised(raw, view) else {
        return reason_picture(width, height, reason);
    };
    let (mut picture, colors) = (RgbImage::new(width, height), style.colormap.table());
    for (pixel, &value) in picture.as_chunks_mut().0.iter_mut().zip(map.values()) {
        *pixel = colors.color(value);
    }
    fade_unseen(&mut picture, view, 1.0);
    picture
}

/// Draws `raw` over a picture of the view's size. The absolute value of the heat (0 to 1) sets the
/// [opacity](HeatStyle::cover): pixels without heat are unchanged, and the image turns grey under heat, so that
/// colour there is heat. The part that the model does not see is faded, and the seen part is framed. A map with
/// nothing to draw leaves the image unchanged, with the text `reason` on it.
pub fn overlay(
    raw: &Map,
    image: &RgbImage,
    view: &CropTransform,
    style: HeatStyle,
    reason: &str,
) -> RgbImage {
    let mut picture = image.clone();
    let Some(map) = style.normalised(raw, view) else {
        write_reason(&mut picture, reason);
        return picture;
    };
    let colors = style.colormap.table();
    let steps: Vec<_> = colors
        .values()
        .zip(colors.colors())
        .map(|(value, color)| (smooth_step(value.abs() / ALL_GREY), style.cover(value), *color))
        .collect();
    for (pixel, &value) in picture.as_chunks_mut().0.iter_mut().zip(map.values()) {
        let (greyness, cover, color) = steps[colors.step(value)];
        if cover > 0.0 {
            let grey = [grey(*pixel); 3];
            blend(pixel, grey, greyness);
            blend(pixel, color, cover);
        }
    }
    fade_unseen(&mut picture, view, 0.6);
    picture
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of bytes")]
#[inline]
fn grey([r, g, b]: [u8; 3]) -> u8 {
    (0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b) + 0.5) as u8
}

/// Returns width and height of a picture of the view's size; 0 for sides beyond 32 bits.
pub(super) fn dimensions(view: &CropTransform) -> (u32, u32) {
    let [height, width] = view.original.map(|side| u32::try_from(side).unwrap_or(0));
    (width, height)
}

/// Fades the part of an image that the model does not see towards the neutral colour, and frames the seen part.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "sides of a picture")]
pub(super) fn fade_unseen(picture: &mut RgbImage, view: &CropTransform, opacity: f32) {
    if view.is_whole() {
        return;
    }
    let (width, height) = picture.dimensions();
    let [rows, columns] = view.window().map(|range| (range.start as u32, range.end as u32));
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        if !(rows.0..rows.1).contains(&y) || !(columns.0..columns.1).contains(&x) {
            blend(&mut pixel.0, NEUTRAL, opacity);
        }
    }
    let thick = (width.max(height) / 640).max(1);
    for edge in [columns.0, columns.1.saturating_sub(thick)] {
        fill(picture, edge as i32, rows.0 as i32, thick, rows.1 - rows.0, MUTED, 1.0);
    }
    for edge in [rows.0, rows.1.saturating_sub(thick)] {
        fill(picture, columns.0 as i32, edge as i32, columns.1 - columns.0, thick, MUTED, 1.0);
    }
}

/// Returns a neutral picture with a sentence, drawn in place of an empty map.
pub fn reason_picture(width: u32, height: u32, reason: &str) -> RgbImage {
    let mut picture = RgbImage::from_pixel(width, height, Rgb(NEUTRAL));
    write_reason(&mut picture, reason);
    picture
}

/// Writes a sentence on a light background in the middle of a picture, in the largest font size that fits.
fn write_reason(picture: &mut RgbImage, reason: &str) {
    let (width, height) = picture.dimensions();
    let room = width.saturating_sub(width / 10) as f32;
    let lines_at = |size: f32| wrap(reason, size, room);
    let fits = |size: &f32| lines_at(*size).len() as f32 * line_height(*size) < height as f32 * 0.9;
    let scale = (width.max(height) as f32 / 640.0).max(1.0);
    let sizes = [20.0, 17.0, 14.0, 12.0, 10.0, 8.0].map(|size| size * scale);
    let size = sizes.into_iter().find(fits).unwrap_or(8.0);
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
        let picture =
            heatmap(&zero, &CropTransform::whole([320, 320]), HeatStyle::POSITIVE, "every channel is dead");
        assert_eq!(*picture.get_pixel(0, 0), Rgb(NEUTRAL));
        assert!(picture.pixels().filter(|pixel| pixel.0[0] < 100).count() > 100, "the sentence is missing");
        let image = RgbImage::from_pixel(320, 320, Rgb([9, 99, 199]));
        let over = overlay(&zero, &image, &CropTransform::whole([320, 320]), HeatStyle::SIGNED, "why");
        assert_eq!(*over.get_pixel(0, 0), Rgb([9, 99, 199]));
        assert_ne!(over, image);
    }

    #[test]
    fn no_heat_leaves_the_image_as_it_is_in_colour() {
        let map = Map::new(1, 2, vec![0.0, 1.0]).unwrap();
        let image = RgbImage::from_pixel(2, 1, Rgb([80, 20, 160]));
        let over = overlay(&map, &image, &CropTransform::whole([1, 2]), HeatStyle::POSITIVE, "");
        assert_eq!(*over.get_pixel(0, 0), Rgb([80, 20, 160]));
        assert!(over.get_pixel(1, 0).0[0] > 190);
    }

    #[test]
    fn strong_heat_has_the_colours_of_the_map_on_black_and_on_white() {
        let map = Map::new(1, 3, vec![0.5, 0.75, 1.0]).unwrap();
        for (ground, most) in [([0; 3], 64), ([255; 3], 64), ([10, 0, 40], 64)] {
            let image = RgbImage::from_pixel(3, 1, Rgb(ground));
            let over = overlay(&map, &image, &CropTransform::whole([1, 3]), HeatStyle::POSITIVE, "");
            for (pixel, value) in over.pixels().zip([0.5, 0.75, 1.0]) {
                let color = Colormap::Inferno.color(value);
                let off = pixel.0.iter().zip(color).map(|(a, b)| a.abs_diff(b)).max().unwrap();
                assert!(off <= most, "{ground:?} {value}: {pixel:?}, the map's colour is {color:?}");
            }
            let all = overlay(
                &map,
                &image,
                &CropTransform::whole([1, 3]),
                HeatStyle { opacity: 1.0, ..HeatStyle::POSITIVE },
                "",
            );
            assert_eq!(all.get_pixel(2, 0).0, Colormap::Inferno.color(1.0));
        }
    }

    #[test]
    fn what_the_model_does_not_see_is_marked() {
        let view = CropTransform::new([4, 10], [8, 8], crate::data::Resize::Crop);
        let map = Map::new(1, 1, vec![1.0]).unwrap();
        let alone = heatmap(&map, &view, HeatStyle::POSITIVE, "");
        assert_eq!(
            [0, 2, 3, 6, 7, 9].map(|x| alone.get_pixel(x, 1).0),
            [NEUTRAL, NEUTRAL, MUTED, MUTED, NEUTRAL, NEUTRAL]
        );
        assert_eq!(alone.get_pixel(4, 1).0, Colormap::Inferno.color(1.0));
        let over = overlay(&map, &RgbImage::new(10, 4), &view, HeatStyle::POSITIVE, "");
        assert_eq!(over.get_pixel(0, 0).0, NEUTRAL.map(|v| (f32::from(v) * 0.6).round() as u8));
    }
}
