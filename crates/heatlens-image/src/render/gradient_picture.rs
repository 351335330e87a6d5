//! Pictures of input-shaped maps (gradients, guided backpropagation, guided Grad-CAM).

use image::RgbImage;

use super::heatmap::{dimensions, fade_unseen};
use super::size::whole_factor;
use super::{CropTransform, Map, RenderError, reason_picture, scaled};

/// Percentile of |v| that sets the scale, so that a few extreme pixels do not turn all others grey.
const PERCENTILE: f64 = 0.995;

/// Reduction of several channels to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelReduction {
    /// Signed sum over channels: opposite evidence in different channels cancels.
    Sum,
    /// Sum of absolute values over channels: total influence of the pixel, never negative.
    AbsoluteSum,
}

/// Reduces a map of shape `c h w` to `h w`.
pub fn reduce_channels(
    values: &[f32],
    [c, h, w]: [usize; 3],
    reduction: ChannelReduction,
) -> Result<Map, RenderError> {
    check(values, [c, h, w])?;
    let mut sums = vec![0.0; h * w];
    for plane in values.chunks_exact(h * w) {
        for (sum, value) in sums.iter_mut().zip(plane) {
            *sum += match reduction {
                ChannelReduction::Sum => *value,
                ChannelReduction::AbsoluteSum => value.abs(),
            };
        }
    }
    Map::new(h, w, sums)
}

/// Draws a signed map of shape `c h w` around mid-grey: 0 is grey, positive values are lighter, negative ones
/// darker. The 99.5th percentile of |v|, or the largest if that is 0, is white or black. Maps of three channels are
/// drawn in colour, others as their sum over channels in grey. The picture has the size of the view; when enlarged
/// by an integer factor, each value becomes a square. A map of zeros becomes a neutral picture with the text
/// `reason`.
pub fn gradient_picture(
    values: &[f32],
    shape @ [c, h, w]: [usize; 3],
    view: &CropTransform,
    reason: &str,
) -> Result<RgbImage, RenderError> {
    check(values, shape)?;
    let (width, height) = dimensions(view);
    let planes = if c == 3 {
        values.chunks_exact(h * w).map(|plane| Map::finite(h, w, plane.to_vec())).collect()
    } else {
        vec![reduce_channels(values, shape, ChannelReduction::Sum)?]
    };
    let signed: Vec<f32> = planes.iter().flat_map(Map::values).copied().collect();
    let Some(scale) = symmetric_scale(&signed) else { return Ok(reason_picture(width, height, reason)) };
    let squares = view.is_whole() && whole_factor([h, w], view.original).is_some();
    let mut picture = if squares {
        scaled(&grey_around_zero(&planes, scale), view.original)
    } else {
        let projected: Vec<Map> = planes.iter().map(|plane| view.project(plane)).collect();
        grey_around_zero(&projected, scale)
    };
    fade_unseen(&mut picture, view, 1.0);
    Ok(picture)
}

/// Draws one plane in grey or three in colour, all of one size; `scale` is white and `-scale` black.
fn grey_around_zero(planes: &[Map], scale: f32) -> RgbImage {
    let Some(first) = planes.first() else { return RgbImage::new(0, 0) };
    let (width, height) = dimensions(&CropTransform::whole([first.height(), first.width()]));
    let mut picture = RgbImage::new(width, height);
    for channel in 0..3 {
        let plane = planes.get(channel).unwrap_or(first);
        for (pixel, value) in picture.as_chunks_mut::<3>().0.iter_mut().zip(plane.values()) {
            pixel[channel] = nearest_byte(127.5 + 127.5 * value / scale);
        }
    }
    picture
}

/// Rounds to the nearest byte, without the function call of `f32::round`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
#[inline]
fn nearest_byte(value: f32) -> u8 {
    let value = value.clamp(0.0, 255.0);
    let below = value as u8;
    below + u8::from(value - f32::from(below) >= 0.5)
}

fn check(values: &[f32], [c, h, w]: [usize; 3]) -> Result<(), RenderError> {
    let area = h.checked_mul(w).filter(|area| *area > 0);
    if values.is_empty() || area.and_then(|area| area.checked_mul(c)) != Some(values.len()) {
        let found = format!("a map of {} values as {c} × {h} × {w}", values.len());
        return Err(RenderError::Shape { found, expected: "c · h · w values, at least one".to_owned() });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(RenderError::NotFinite {
            position: vec![at / (h * w), at % (h * w) / w, at % w],
            value: values[at],
        }),
        None => Ok(()),
    }
}

/// Returns the absolute value drawn as black or white; `None` if all values are 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
fn symmetric_scale(values: &[f32]) -> Option<f32> {
    let mut sizes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
    let rank = ((sizes.len() - 1) as f64 * PERCENTILE).round() as usize;
    let (_, percentile, above) = sizes.select_nth_unstable_by(rank, f32::total_cmp);
    let largest = above.iter().fold(*percentile, |largest, &size| largest.max(size));
    let scale = if *percentile > 0.0 { *percentile } else { largest };
    (scale > 0.0).then_some(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(values: &[f32], shape: [usize; 3]) -> Result<RgbImage, RenderError> {
        gradient_picture(values, shape, &CropTransform::whole([shape[1], shape[2]]), "")
    }

    #[test]
    fn bytes_are_rounded_as_f32_round_does() {
        let halves = (0..=1020).map(|quarter| quarter as f32 / 4.0);
        let around = halves.flat_map(|x| [x.next_down(), x, x.next_up()]).chain([-3.0, 300.0, f32::NAN]);
        for x in around {
            assert_eq!(nearest_byte(x), x.round().clamp(0.0, 255.0) as u8, "{x:e}");
        }
    }

    #[test]
    fn values_are_squares_or_lie_where_the_model_saw_them() {
        let values = [-1.0, 1.0];
        let squares = gradient_picture(&values, [1, 1, 2], &CropTransform::whole([3, 6]), "").unwrap();
        assert!(squares.enumerate_pixels().all(|(x, _, p)| p.0 == [if x < 3 { 0 } else { 255 }; 3]));
        let crop = CropTransform::new([4, 10], [8, 8], crate::data::Resize::Crop);
        let placed = gradient_picture(&values, [1, 1, 2], &crop, "").unwrap();
        assert_eq!(placed.dimensions(), (10, 4));
        // Three columns on each side are not seen; the frame is the outermost pixel of the seen part.
        let line: Vec<u8> = (0..10).map(|x| placed.get_pixel(x, 1).0[0]).collect();
        assert_eq!([line[0], line[4], line[5], line[9]], [236, 64, 191, 236], "{line:?}");
    }

    #[test]
    fn zero_is_grey_and_signs_go_apart() {
        let picture = drawn(&[-2.0, 0.0, 1.0, 2.0], [1, 1, 4]).unwrap();
        assert_eq!(picture.as_raw(), &[0, 0, 0, 128, 128, 128, 191, 191, 191, 255, 255, 255]);
        let colour = drawn(&[1.0, -1.0, 0.0], [3, 1, 1]).unwrap();
        assert_eq!(colour.as_raw(), &[255, 0, 128]);
        // Two channels are summed.
        assert_eq!(drawn(&[1.0, 0.0, -1.0, 5.0], [2, 1, 2]).unwrap().as_raw()[..3], [128; 3]);
    }

    #[test]
    fn one_extreme_pixel_does_not_hide_the_rest() {
        let mut values = vec![0.01; 10_000];
        values[5] = 1000.0;
        let picture = drawn(&values, [1, 100, 100]).unwrap();
        assert_eq!(picture.get_pixel(50, 50).0, [255; 3]);
        // All but one in a thousand are 0: the percentile is 0, but the largest value is visible.
        let mut values = vec![0.0; 1000];
        values[5] = 1e-30;
        assert_eq!(drawn(&values, [1, 1, 1000]).unwrap().get_pixel(5, 0).0, [255; 3]);
    }

    #[test]
    fn zeros_become_a_sentence_and_nonsense_an_error() {
        let picture = gradient_picture(
            &[0.0; 9025],
            [1, 95, 95],
            &CropTransform::whole([380, 380]),
            "no pixel moves this output",
        )
        .unwrap();
        assert!(picture.width() >= 320 && picture.pixels().any(|pixel| pixel.0[0] < 100));
        assert!(drawn(&[0.0; 5], [1, 2, 2]).is_err());
        assert!(drawn(&[], [1, 0, 2]).is_err());
        assert!(drawn(&[0.0, f32::INFINITY], [1, 1, 2]).is_err());
    }

    #[test]
    fn reductions() {
        let values = [1.0, -2.0, -1.0, -2.0];
        assert_eq!(reduce_channels(&values, [2, 1, 2], ChannelReduction::Sum).unwrap().values(), [0.0, -4.0]);
        assert_eq!(
            reduce_channels(&values, [2, 1, 2], ChannelReduction::AbsoluteSum).unwrap().values(),
            [2.0, 4.0]
        );
    }
}
