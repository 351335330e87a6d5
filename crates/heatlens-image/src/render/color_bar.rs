//! Colour bar below a picture, with the meaning of its colours.

use image::{Rgb, RgbImage};

use super::canvas::{INK, MUTED, blend, frame, paper, paste};
use super::text::{draw_text, line_height, shorten, text_width, wrap};
use super::{Colormap, HeatStyle};

const TEXT: f32 = 14.0;
const MARGIN: f32 = 10.0;
const BAR: f32 = 14.0;
/// Widest picture, in pixels, with text of the base size. The text of a wider one grows with the width, so that it
/// stays readable when the picture is shown smaller.
const PLAIN_WIDTH: u32 = 640;
/// Minimum width in pixels, so that there is room for the text below a narrow picture.
const LEAST_WIDTH: u32 = 200;

/// A colour bar with labels for both ends.
#[derive(Debug, Clone, PartialEq)]
pub struct ColorBar {
    /// Colormap, from the map's lowest to its highest value.
    pub colormap: Colormap,
    /// Label of the left end, e.g. "0" or "−0.31".
    pub low: String,
    /// Label of the right end, e.g. "0.42".
    pub high: String,
    /// Meaning of the colours, e.g. "evidence for class 1".
    pub meaning: String,
    /// Style of the overlay, if the bar belongs to one. The bar then shows every colour that heat takes there, from
    /// a white background at its upper edge to a black one at its lower edge.
    pub over_image: Option<HeatStyle>,
}

impl ColorBar {
    /// Returns the bar of a non-negative map with raw values up to `largest`.
    pub fn positive(colormap: Colormap, largest: f32, meaning: impl Into<String>) -> Self {
        Self {
            colormap,
            low: "0".to_owned(),
            high: format_number(largest),
            meaning: meaning.into(),
            over_image: None,
        }
    }

    /// Returns the bar of a signed map whose largest absolute raw value is `largest`.
    pub fn signed(largest: f32, meaning: impl Into<String>) -> Self {
        let number = format_number(largest);
        Self {
            colormap: Colormap::RedBlue,
            low: format!("−{number}"),
            high: format!("+{number}"),
            meaning: meaning.into(),
            over_image: None,
        }
    }

    /// Returns the same bar for heat drawn over an image.
    #[must_use]
    pub fn over_image(self, style: HeatStyle) -> Self {
        Self { over_image: Some(style), ..self }
    }

    /// Returns the picture with this bar below it. The picture stays in the upper left corner.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        reason = "sizes of a few lines of text"
    )]
    pub fn under(&self, picture: &RgbImage) -> RgbImage {
        let (shown, height) = picture.dimensions();
        let width = shown.max(LEAST_WIDTH);
        let scale = (width as f32 / PLAIN_WIDTH as f32).max(1.0);
        let [text, margin, bar_height] = [TEXT, MARGIN, BAR].map(|size| (size * scale).round());
        let room = width as f32 - 2.0 * margin;
        let lines = wrap(&self.meaning, text, room);
        let gap = (4.0 * scale).round();
        let below = margin + bar_height + gap + line_height(text) * (1 + lines.len()) as f32 + margin / 2.0;
        let mut sheet = paper(width, height + below as u32);
        paste(&mut sheet, picture, 0, 0);
        let top = height + margin as u32;
        paste(&mut sheet, &self.bar(room as u32, bar_height as u32), margin as u32, top);
        frame(&mut sheet, margin as i32, top as i32, room as u32, bar_height as u32, MUTED);
        let mut y = top as f32 + bar_height + gap;
        draw_text(&mut sheet, margin, y, text, MUTED, &shorten(&self.low, text, room / 2.0));
        let high = shorten(&self.high, text, room / 2.0);
        draw_text(&mut sheet, width as f32 - margin - text_width(&high, text), y, text, MUTED, &high);
        for line in lines {
            y += line_height(text);
            draw_text(&mut sheet, (width as f32 - text_width(&line, text)) / 2.0, y, text, INK, &line);
        }
        sheet
    }

    /// Draws the colours alone, in the same discrete steps as the pictures.
    pub(super) fn bar(&self, width: u32, height: u32) -> RgbImage {
        let (low, colors) = (self.colormap.low(), self.colormap.table());
        RgbImage::from_fn(width, height, |x, y| {
            let value = low + (1.0 - low) * (x as f32 + 0.5) / width as f32;
            let color = colors.color(value);
            let Some(style) = self.over_image else { return Rgb(color) };
            let ground = 1.0 - (y as f32 / height.saturating_sub(1).max(1) as f32);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 255")]
            let mut pixel = Rgb([(255.0 * ground).round() as u8; 3]);
            blend(&mut pixel.0, color, style.cover(value));
            pixel
        })
    }
}

/// Formats a number with three significant digits: 0.0123, 4.57, 1.20e-7.
pub fn format_number(value: f32) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e5).contains(&size) {
        return format!("{value:.2e}").replace('-', "−");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from −3 to 4")]
    let digits = (2.0 - size.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}").replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let written = [0.0, 0.012_34, -4.567, 123.4, 98_765.0, 1.2e-7, f32::MAX].map(format_number);
        assert_eq!(written, ["0", "0.0123", "−4.57", "123", "98765", "1.20e−7", "3.40e38"]);
    }

    #[test]
    fn the_bar_runs_from_low_to_high_under_an_untouched_picture() {
        let picture = RgbImage::from_pixel(320, 100, Rgb([1, 2, 3]));
        let sheet = ColorBar::signed(0.5, "evidence for (red) and against (blue) class 1").under(&picture);
        assert!((0..100).all(|y| *sheet.get_pixel(7, y) == Rgb([1, 2, 3])));
        let (margin, y) = (MARGIN as u32, 100 + (MARGIN + BAR / 2.0) as u32);
        let (left, right) = (sheet.get_pixel(margin + 3, y).0, sheet.get_pixel(319 - margin - 3, y).0);
        assert!(left[2] > left[0] && right[0] > right[2], "{left:?} {right:?}");
        assert!(sheet.height() > 100 + BAR as u32);
        // Too small for any content: must not panic.
        ColorBar::positive(Colormap::Inferno, 1.0, "meaning").under(&RgbImage::new(1, 1));
    }

    #[test]
    fn the_bar_of_an_overlay_has_every_colour_of_the_overlay() {
        let map = crate::render::Map::new(1, 64, (0..64_u8).map(|i| f32::from(i) / 63.0).collect()).unwrap();
        let bar =
            ColorBar::positive(Colormap::Inferno, 1.0, "").over_image(HeatStyle::POSITIVE).bar(201, 256);
        for ground in [0_u8, 90, 255] {
            let image = RgbImage::from_pixel(64, 1, Rgb([ground; 3]));
            let view = crate::render::CropTransform::whole([1, 64]);
            let over = crate::render::overlay(&map, &image, &view, HeatStyle::POSITIVE, "");
            for pixel in over.pixels() {
                let off = |known: &Rgb<u8>| known.0.iter().zip(pixel.0).map(|(a, b)| a.abs_diff(b)).max();
                assert!(bar.pixels().any(|known| off(known) <= Some(2)), "{ground}: {pixel:?}");
            }
        }
    }

    #[test]
    fn a_heat_map_with_its_bar_fits_a_palette() {
        let values = (0..400 * 400).map(|i| (i % 400) as f32 / 400.0 + (i / 400) as f32).collect();
        let map = crate::render::Map::new(400, 400, values).unwrap();
        let heat = crate::render::heatmap(
            &map,
            &crate::render::CropTransform::whole([400, 400]),
            HeatStyle::POSITIVE,
            "",
        );
        let meaning = "evidence for what the caption of this picture says: Åß%&@$";
        let sheet = ColorBar::positive(Colormap::Inferno, 0.1234, meaning).under(&heat);
        let colours: std::collections::BTreeSet<[u8; 3]> = sheet.pixels().map(|p| p.0).collect();
        assert!((200..=256).contains(&colours.len()), "{}", colours.len());
    }
}
