//! Text in pictures, in DejaVu Sans, which is embedded so that pictures are the same on every machine.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use image::RgbImage;

use super::canvas::blend_at;

/// Anti-aliasing levels at the edge of a letter: few, so that text leaves palette entries for the picture.
const SHADES: f32 = 8.0;

/// Returns the font; `None` only if the embedded data were damaged.
fn font() -> Option<&'static FontRef<'static>> {
    static FONT: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    FONT.get_or_init(|| FontRef::try_from_slice(dejavu::sans::regular()).ok()).as_ref()
}

/// Returns the line height of text of `size` pixels.
pub(super) fn line_height(size: f32) -> f32 {
    (size * 1.25).round()
}

/// Returns the width of one line of text in pixels.
pub(super) fn text_width(text: &str, size: f32) -> f32 {
    let mut end = 0.0;
    place(text, size, |_, after| end = after);
    end
}

/// Draws one line of text with the top left corner of its box at (x, y).
#[expect(clippy::cast_possible_truncation, reason = "positions within a picture")]
pub(super) fn draw_text(picture: &mut RgbImage, x: f32, y: f32, size: f32, color: [u8; 3], text: &str) {
    let Some(font) = font() else { return };
    let scaled = font.as_scaled(PxScale::from(size));
    // Rounding to whole pixels makes every occurrence of a letter identical.
    let (x, baseline) = (x.round(), y.round() + scaled.ascent().round());
    place(text, size, |mut glyph, _| {
        glyph.position = point(x + glyph.position.x, baseline);
        if let Some(outline) = font.outline_glyph(glyph) {
            let bounds = outline.px_bounds();
            outline.draw(|dx, dy, coverage| {
                let (px, py) = (bounds.min.x as i32 + dx as i32, bounds.min.y as i32 + dy as i32);
                blend_at(picture, px, py, color, (coverage * SHADES).round() / SHADES);
            });
        }
    });
}

/// Calls `each` with every glyph at its position, starting at x = 0, and the x coordinate where it ends.
fn place(text: &str, size: f32, mut each: impl FnMut(ab_glyph::Glyph, f32)) {
    let Some(font) = font() else { return };
    let scale = PxScale::from(size);
    let scaled = font.as_scaled(scale);
    let mut caret = 0.0;
    let mut previous = None;
    for character in text.chars().filter(|character| !character.is_control()) {
        let id = font.glyph_id(character);
        caret += previous.map_or(0.0, |previous| scaled.kern(previous, id));
        let start = caret;
        caret += scaled.h_advance(id);
        each(id.with_scale_and_position(scale, point(start, 0.0)), caret);
        previous = Some(id);
    }
}

/// Breaks text into lines no wider than `width` pixels; longer words are split.
pub(super) fn wrap(text: &str, size: f32, width: f32) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let candidate = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if text_width(&candidate, size) <= width {
            line = candidate;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for character in word.chars() {
            line.push(character);
            if line.chars().nth(1).is_some() && text_width(&line, size) > width {
                line.pop();
                lines.push(std::mem::replace(&mut line, character.to_string()));
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Truncates text to `width` pixels, with "…" in place of the rest.
pub(super) fn shorten(text: &str, size: f32, width: f32) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while kept.pop().is_some() {
        let shortened: String = kept.iter().chain(&['…']).collect();
        if text_width(&shortened, size) <= width {
            return shortened;
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::canvas::{INK, paper};

    #[test]
    fn the_font_is_there_and_draws_within_its_box() {
        assert!(font().is_some());
        let width = text_width("Heat 0.25 – ×", 16.0);
        assert!((90.0..130.0).contains(&width), "{width}");
        let mut picture = paper(200, 40);
        draw_text(&mut picture, 10.0, 5.0, 16.0, INK, "Heat 0.25 – ×");
        let dark: Vec<_> = picture.enumerate_pixels().filter(|(.., pixel)| pixel.0[0] < 128).collect();
        assert!(dark.len() > 100);
        assert!(dark.iter().all(|&(x, y, _)| (10..12 + width as u32).contains(&x) && (5..25).contains(&y)));
        draw_text(&mut picture, -50.0, -50.0, 16.0, INK, "outside the picture");
    }

    #[test]
    fn wrapped_lines_fit_and_lose_nothing() {
        let text = "every channel of this layer is dead averyveryveryverylongwordindeed";
        for width in [20.0, 60.0, 150.0] {
            let lines = wrap(text, 14.0, width);
            assert!(lines.iter().all(|line| text_width(line, 14.0) <= width), "{lines:?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }
        assert!(wrap("", 14.0, 100.0).is_empty());
        assert_eq!(wrap("ab", 14.0, 1.0), ["a", "b"]);
    }

    #[test]
    fn shortened_text_fits() {
        let short = shorten("a rather long file name.png", 14.0, 80.0);
        assert!(short.ends_with('…') && text_width(&short, 14.0) <= 80.0, "{short}");
        assert_eq!(shorten("abc", 14.0, 80.0), "abc");
    }
}
