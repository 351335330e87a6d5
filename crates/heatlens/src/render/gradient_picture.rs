//! Maps of the input's own shape (gradients, guided back-propagation, guided Grad-CAM) as pictures.

use image::{Rgb, RgbImage};

use super::{Map, RenderError, reason_picture};

/// The share of values whose size sets the scale: a few extreme pixels must not turn all others grey.
const PERCENTILE: f64 = 0.995;

/// How a map of several channels becomes one of a single channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelReduction {
    /// Signed sum over channels: evidence that cancels between channels disappears.
    Sum,
    /// Sum of sizes over channels: how much the pixel matters at all, never negative.
    AbsoluteSum,
}

/// Reduces a map of `[c, h, w]` to h × w.
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

/// Draws a signed map of `[c, h, w]` around mid-grey: 0 is grey, positive lighter, negative darker, and the 99.5th
/// percentile of |v| (or, should that be 0, the largest) is full white or black. Three channels are drawn in
/// colour, other counts as their sum in grey. A map of zeros becomes a neutral picture that says `reason`.
pub fn gradient_picture(
    values: &[f32],
    shape @ [c, h, w]: [usize; 3],
    reason: &str,
) -> Result<RgbImage, RenderError> {
    check(values, shape)?;
    let grey;
    let planes = if c == 3 {
        values
    } else {
        grey = reduce_channels(values, shape, ChannelReduction::Sum)?;
        grey.values()
    };
    let too_wide =
        |_| RenderError::Shape { found: format!("{h} × {w}"), expected: "sides below 2³²".to_owned() };
    let (width, height) = (u32::try_from(w).map_err(too_wide)?, u32::try_from(h).map_err(too_wide)?);
    let Some(scale) = symmetric_scale(planes) else {
        // Enlarged pixel by pixel later on, a sentence would be a blur: draw it at the size it will be shown.
        let factor = super::enlargement(width, height);
        return Ok(reason_picture(width * factor, height * factor, reason));
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
    let byte = |value: f32| (127.5 + 127.5 * value / scale).round().clamp(0.0, 255.0) as u8;
    let at = |channel: usize, pixel: usize| planes.get(channel * h * w + pixel).copied().map_or(128, byte);
    Ok(RgbImage::from_fn(width, height, |x, y| {
        let pixel = y as usize * w + x as usize;
        if c == 3 { Rgb([at(0, pixel), at(1, pixel), at(2, pixel)]) } else { Rgb([at(0, pixel); 3]) }
    }))
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

/// The size that is drawn as black or white; `None` where all is 0.
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

    #[test]
    fn zero_is_grey_and_signs_go_apart() {
        let picture = gradient_picture(&[-2.0, 0.0, 1.0, 2.0], [1, 1, 4], "").unwrap();
        assert_eq!(picture.as_raw(), &[0, 0, 0, 128, 128, 128, 191, 191, 191, 255, 255, 255]);
        let colour = gradient_picture(&[1.0, -1.0, 0.0], [3, 1, 1], "").unwrap();
        assert_eq!(colour.as_raw(), &[255, 0, 128]);
        // Two channels: their sum.
        assert_eq!(gradient_picture(&[1.0, 0.0, -1.0, 5.0], [2, 1, 2], "").unwrap().as_raw()[..3], [128; 3]);
    }

    #[test]
    fn one_extreme_pixel_does_not_hide_the_rest() {
        let mut values = vec![0.01; 10_000];
        values[5] = 1000.0;
        let picture = gradient_picture(&values, [1, 100, 100], "").unwrap();
        assert_eq!(picture.get_pixel(50, 50).0, [255; 3]);
        // All but one in a thousand are 0: the percentile is 0, the largest still shows.
        let mut values = vec![0.0; 1000];
        values[5] = 1e-30;
        assert_eq!(gradient_picture(&values, [1, 1, 1000], "").unwrap().get_pixel(5, 0).0, [255; 3]);
    }

    #[test]
    fn zeros_become_a_sentence_and_nonsense_an_error() {
        let picture = gradient_picture(&[0.0; 9025], [1, 95, 95], "no pixel moves this output").unwrap();
        assert!(picture.width() >= 320 && picture.pixels().any(|pixel| pixel.0[0] < 100));
        assert!(gradient_picture(&[0.0; 5], [1, 2, 2], "").is_err());
        assert!(gradient_picture(&[], [1, 0, 2], "").is_err());
        assert!(gradient_picture(&[0.0, f32::INFINITY], [1, 1, 2], "").is_err());
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
