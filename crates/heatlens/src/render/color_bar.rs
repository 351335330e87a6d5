//! The bar under a picture that says what its colours mean.

use image::{Rgb, RgbImage};

use super::Colormap;
use super::canvas::{INK, MUTED, frame, paper, paste};
use super::text::{draw_text, line_height, shorten, text_width, wrap};

const TEXT: f32 = 14.0;
const MARGIN: u32 = 10;
const BAR: u32 = 14;

/// A colour bar with the meaning of its two ends.
#[derive(Debug, Clone, PartialEq)]
pub struct ColorBar {
    /// The colours, from the map's lowest to its highest value.
    pub colormap: Colormap,
    /// Under the left end, e.g. "0" or "−0.31".
    pub low: String,
    /// Under the right end, e.g. "0.42".
    pub high: String,
    /// What the colours stand for, in words, e.g. "evidence for class 1".
    pub meaning: String,
}

impl ColorBar {
    /// The bar of a positive map whose raw values reach `largest`.
    pub fn positive(colormap: Colormap, largest: f32, meaning: impl Into<String>) -> Self {
        Self { colormap, low: "0".to_owned(), high: format_number(largest), meaning: meaning.into() }
    }

    /// The bar of a signed map whose raw values reach `largest` on the farther side of 0.
    pub fn signed(largest: f32, meaning: impl Into<String>) -> Self {
        let number = format_number(largest);
        Self {
            colormap: Colormap::RedBlue,
            low: format!("−{number}"),
            high: format!("+{number}"),
            meaning: meaning.into(),
        }
    }

    /// The picture with this bar under it, on paper.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes of a few lines of text"
    )]
    pub fn under(&self, picture: &RgbImage) -> RgbImage {
        let (width, height) = picture.dimensions();
        let room = width.saturating_sub(2 * MARGIN);
        let lines = wrap(&self.meaning, TEXT, room as f32);
        let text_height = line_height(TEXT) as u32;
        let below = MARGIN + BAR + 4 + text_height * (1 + lines.len() as u32) + MARGIN / 2;
        let mut sheet = paper(width, height + below);
        paste(&mut sheet, picture, 0, 0);
        let bar = self.bar(room, BAR);
        paste(&mut sheet, &bar, MARGIN, height + MARGIN);
        frame(&mut sheet, MARGIN as i32, (height + MARGIN) as i32, room, BAR, MUTED);
        let mut y = (height + MARGIN + BAR + 4) as f32;
        let (left, right) = (MARGIN as f32, (width - MARGIN.min(width)) as f32);
        let half = room as f32 / 2.0;
        draw_text(&mut sheet, left, y, TEXT, MUTED, &shorten(&self.low, TEXT, half));
        let high = shorten(&self.high, TEXT, half);
        draw_text(&mut sheet, right - text_width(&high, TEXT), y, TEXT, MUTED, &high);
        for line in lines {
            y += line_height(TEXT);
            draw_text(&mut sheet, (width as f32 - text_width(&line, TEXT)) / 2.0, y, TEXT, INK, &line);
        }
        sheet
    }

    /// The colours alone.
    pub(super) fn bar(&self, width: u32, height: u32) -> RgbImage {
        let low = self.colormap.low();
        RgbImage::from_fn(width, height, |x, _| {
            let share = (x as f32 + 0.5) / width as f32;
            Rgb(self.colormap.color(low + (1.0 - low) * share))
        })
    }
}

/// A number with three significant digits, as people write it: 0.0123, 4.57, 1.20e-7.
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
        let y = 100 + MARGIN + BAR / 2;
        let (left, right) = (sheet.get_pixel(MARGIN + 3, y).0, sheet.get_pixel(319 - MARGIN - 3, y).0);
        assert!(left[2] > left[0] && right[0] > right[2], "{left:?} {right:?}");
        assert!(sheet.height() > 100 + BAR);
        // Too small for anything: no panic.
        ColorBar::positive(Colormap::Inferno, 1.0, "meaning").under(&RgbImage::new(1, 1));
    }
}
