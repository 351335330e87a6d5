//! Baselines: images without information to compare an image with.

use crate::extremes::extremes;
use crate::method::parts::blur;
use crate::random::Key;

/// Standard deviation of a `blur` baseline as a share of the shorter side (Sturmfels et al. 2020 show 20 of 224
/// pixels).
const BLUR: f64 = 0.1;

/// Returns the baseline of the given name: `zero` (in the model's input), `mean` (the mean of each channel), `blur`
/// (the blurred image), or `uniform` (noise between the image's extremes).
#[allow(clippy::cast_precision_loss)]
pub(in crate::method) fn baseline(word: &str, pixels: &[f32], shape: [usize; 3], key: Key) -> Vec<f32> {
    let [_, h, w] = shape;
    match word {
        "mean" => pixels.chunks(h * w).flat_map(|plane| vec![mean(plane); plane.len()]).collect(),
        "blur" => blur(pixels, shape, BLUR * h.min(w) as f64),
        "uniform" => {
            let [low, high] = extremes(pixels);
            let mut rng = key.rng();
            pixels.iter().map(|_| low + (high - low) * rng.uniform()).collect()
        }
        _ => vec![0.0; pixels.len()],
    }
}

/// Blends an image with `fill`: a mask value of 0 gives `fill`, 1 the image. The mask has the shape `h w` and is
/// the same for every channel.
pub(in crate::method) fn blend(image: &mut [f32], fill: &[f32], mask: &[f32]) {
    let planes = image.chunks_mut(mask.len().max(1)).zip(fill.chunks(mask.len().max(1)));
    for (plane, fill) in planes {
        for ((pixel, fill), mask) in plane.iter_mut().zip(fill).zip(mask) {
            *pixel = mask * *pixel + (1.0 - mask) * fill;
        }
    }
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn mean(values: &[f32]) -> f32 {
    (values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len().max(1) as f64) as f32
}
