//! Drawing primitives: rectangles, lines, and pasting of pictures.

use image::{Rgb, RgbImage};

pub(super) const PAPER: [u8; 3] = [255; 3];
pub(super) const INK: [u8; 3] = [33, 37, 41];
pub(super) const MUTED: [u8; 3] = [108, 117, 125];
pub(super) const RULE: [u8; 3] = [222, 226, 230];
/// Background of a picture without anything to show.
pub(super) const NEUTRAL: [u8; 3] = [236, 238, 240];

/// Mixes `color` into a pixel; `opacity` from 0 to 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of two bytes")]
#[inline]
pub(super) fn blend(pixel: &mut [u8; 3], color: [u8; 3], opacity: f32) {
    let opacity = opacity.clamp(0.0, 1.0);
    for (under, over) in pixel.iter_mut().zip(color) {
        // Adding 0.5 and truncating rounds without a function call.
        *under = (f32::from(*under) * (1.0 - opacity) + f32::from(over) * opacity + 0.5) as u8;
    }
}

/// Mixes `color` into the pixel at (x, y); does nothing outside the picture.
pub(super) fn blend_at(picture: &mut RgbImage, x: i32, y: i32, color: [u8; 3], opacity: f32) {
    if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
        && let Some(pixel) = picture.get_pixel_mut_checked(x, y)
    {
        blend(&mut pixel.0, color, opacity);
    }
}

/// Fills a rectangle, clipped to the picture.
pub(super) fn fill(
    picture: &mut RgbImage,
    x: i32,
    y: i32,
    width: u32,
    height: u32,
    color: [u8; 3],
    opacity: f32,
) {
    let (columns, lines) = picture.dimensions();
    let clip = |start: i32, length: u32, end: u32| {
        let start = i64::from(start);
        let range = start.clamp(0, end.into())..(start + i64::from(length)).clamp(0, end.into());
        u32::try_from(range.start).unwrap_or(0)..u32::try_from(range.end).unwrap_or(0)
    };
    for row in clip(y, height, lines) {
        for column in clip(x, width, columns) {
            blend(&mut picture.get_pixel_mut(column, row).0, color, opacity);
        }
    }
}

/// Draws a rectangle's border, one pixel wide.
pub(super) fn frame(picture: &mut RgbImage, x: i32, y: i32, width: u32, height: u32, color: [u8; 3]) {
    let (right, bottom) = (x.saturating_add_unsigned(width) - 1, y.saturating_add_unsigned(height) - 1);
    fill(picture, x, y, width, 1, color, 1.0);
    fill(picture, x, bottom, width, 1, color, 1.0);
    fill(picture, x, y, 1, height, color, 1.0);
    fill(picture, right, y, 1, height, color, 1.0);
}

/// Draws an anti-aliased line; coverage follows from the distance between a pixel's centre and the line.
#[expect(clippy::cast_possible_truncation, reason = "positions within a picture")]
pub(super) fn line(picture: &mut RgbImage, from: [f32; 2], to: [f32; 2], width: f32, color: [u8; 3]) {
    let reach = width / 2.0 + 1.0;
    let (low_x, high_x) = (from[0].min(to[0]) - reach, from[0].max(to[0]) + reach);
    let (low_y, high_y) = (from[1].min(to[1]) - reach, from[1].max(to[1]) + reach);
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = (along[0] * along[0] + along[1] * along[1]).max(f32::MIN_POSITIVE);
    for y in (low_y.max(0.0) as i32)..=(high_y.min(picture.height() as f32) as i32) {
        for x in (low_x.max(0.0) as i32)..=(high_x.min(picture.width() as f32) as i32) {
            let offset = [x as f32 + 0.5 - from[0], y as f32 + 0.5 - from[1]];
            let share = ((offset[0] * along[0] + offset[1] * along[1]) / length).clamp(0.0, 1.0);
            let gap = [offset[0] - share * along[0], offset[1] - share * along[1]];
            let distance = (gap[0] * gap[0] + gap[1] * gap[1]).sqrt();
            blend_at(picture, x, y, color, width / 2.0 + 0.5 - distance);
        }
    }
}

/// Draws a dashed line: dashes of 6 pixels, gaps of 4.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of dashes within a picture"
)]
pub(super) fn dashes(picture: &mut RgbImage, from: [f32; 2], to: [f32; 2], width: f32, color: [u8; 3]) {
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = (along[0] * along[0] + along[1] * along[1]).sqrt();
    if length <= 0.0 {
        return;
    }
    let at = |distance: f32| {
        let share = (distance / length).min(1.0);
        [from[0] + share * along[0], from[1] + share * along[1]]
    };
    for dash in 0..(length / 10.0).ceil() as usize {
        let start = dash as f32 * 10.0;
        line(picture, at(start), at(start + 6.0), width, color);
    }
}

/// Creates a blank white picture.
pub(super) fn paper(width: u32, height: u32) -> RgbImage {
    RgbImage::from_pixel(width, height, Rgb(PAPER))
}

/// Copies a picture onto another, clipped to the target.
pub(super) fn paste(picture: &mut RgbImage, other: &RgbImage, x: u32, y: u32) {
    image::imageops::replace(picture, other, i64::from(x), i64::from(y));
}
