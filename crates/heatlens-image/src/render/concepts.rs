//! Several non-negative maps in one picture, each in a different colour.

use image::{Rgb, RgbImage};

use super::heatmap::fade_unseen;
use super::{CropTransform, Map};
use crate::placement::Placement;

/// Colours distinguishable with any colour vision (Okabe and Ito 2008).
const COLORS: [[u8; 3]; 8] = [
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
    [255, 255, 255],
];

/// Draws maps over a picture of the whole image; `values` has the shape `n h w`. Every pixel takes the colour of
/// its strongest map, the stronger the more opaque. Each map is scaled by its own maximum, and non-finite values
/// count as 0. The result has the size of the view.
pub fn concepts(
    values: &[f32],
    [h, w]: [usize; 2],
    placement: &Placement,
    original: &RgbImage,
    view: &CropTransform,
) -> RgbImage {
    let planes: Vec<Vec<f32>> = values
        .chunks_exact((h * w).max(1))
        .map(|plane| {
            let finite: Vec<f32> =
                plane.iter().map(|v| if v.is_finite() { v.max(0.0) } else { 0.0 }).collect();
            let largest = finite.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE);
            let scaled: Vec<f32> = finite.iter().map(|v| v / largest).collect();
            view.project(&Map::finite(h, w, scaled).placed(*placement)).into_values()
        })
        .collect();
    let mut picture = original.clone();
    for (i, pixel) in picture.pixels_mut().enumerate() {
        let strongest =
            (0..planes.len()).fold(0, |best, k| if planes[k][i] > planes[best][i] { k } else { best });
        let strength = planes.get(strongest).map_or(0.0, |plane| plane[i]);
        *pixel = mixed(*pixel, COLORS[strongest % COLORS.len()], 0.75 * strength);
    }
    fade_unseen(&mut picture, view, 0.6);
    picture
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two bytes")]
fn mixed(under: Rgb<u8>, over: [u8; 3], share: f32) -> Rgb<u8> {
    let mix = |k: usize| (f32::from(under.0[k]) * (1.0 - share) + f32::from(over[k]) * share).round() as u8;
    Rgb([mix(0), mix(1), mix(2)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_map_has_its_colour_where_it_is_strongest() {
        let black = RgbImage::new(2, 1);
        let picture =
            concepts(&[4.0, 0.0, 0.0, 0.5], [1, 2], &Placement::EVEN, &black, &CropTransform::whole([1, 2]));
        assert_eq!(picture.get_pixel(0, 0).0, [173, 119, 0], "three quarters of the first colour");
        assert_eq!(picture.get_pixel(1, 0).0, [65, 135, 175], "three quarters of the second");
        assert_eq!(
            concepts(&[f32::NAN, 0.0], [1, 2], &Placement::EVEN, &black, &CropTransform::whole([1, 2])),
            black
        );
    }
}
