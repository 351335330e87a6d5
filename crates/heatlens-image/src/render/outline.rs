//! Borders of what lies in an image: a true object, a detected box, the pixels of a segment.

use image::{Rgb, RgbImage};

/// Colour of the true object: seen on grey images, on heat and on blue and red alike.
pub const TRUTH: [u8; 3] = [0, 230, 118];
/// Colour of the box or the pixels whose score is explained.
pub const EXPLAINED: [u8; 3] = [0, 200, 255];

/// Draws the border between the pixels (x, y) that are `inside` and those that are not, two pixels wide, and wider on large
/// pictures.
pub fn outline(picture: &mut RgbImage, inside: impl Fn(u32, u32) -> bool, color: [u8; 3]) {
    let (columns, lines) = picture.dimensions();
    let thick = (columns.max(lines) / 300).max(2);
    for y in 0..lines {
        for x in 0..columns {
            let here = inside(x, y);
            let differs = |dx: u32, dy: u32| {
                let (x, y) = (x + dx, y + dy);
                x < columns && y < lines && inside(x, y) != here
            };
            if (1..=thick).any(|step| differs(step, 0) || differs(0, step)) {
                picture.put_pixel(x, y, Rgb(color));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_lies_on_both_axes_and_leaves_the_rest() {
        let mut picture = RgbImage::from_pixel(20, 20, Rgb([9; 3]));
        outline(&mut picture, |x, y| (5..15).contains(&x) && (5..15).contains(&y), EXPLAINED);
        let drawn = |x, y| picture.get_pixel(x, y).0 == EXPLAINED;
        assert!(drawn(4, 9) && drawn(3, 9) && drawn(14, 9) && drawn(9, 4) && drawn(9, 14));
        assert!(!drawn(2, 9) && !drawn(9, 9) && !drawn(16, 9));
    }
}
