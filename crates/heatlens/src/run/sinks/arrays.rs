//! Numbers as files: `maps.npz`, `heat.npz`, `tensors.npz` and `channels.csv`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::data::{NpzWriter, write_atomically};
use crate::explain::Tensors;
use crate::run::{ExplainedImage, RunError, Save, Sink};

/// Files being written; rows go to disk as they arrive.
#[derive(Debug)]
pub(in crate::run) struct Arrays {
    maps: Option<NpzWriter>,
    float16: bool,
    heat: Option<NpzWriter>,
    tensors: Option<NpzWriter>,
    channels: Option<(PathBuf, String)>,
}

impl Arrays {
    /// Opens the selected files.
    pub(in crate::run) fn create(out: &Path, save: &Save) -> Result<Self, RunError> {
        let open = |wanted: bool, name: &str| wanted.then(|| NpzWriter::create(&out.join(name))).transpose();
        let header = "index,channel,w,mean_A,product,dense_weights\n".to_owned();
        Ok(Self {
            maps: open(save.npz, "maps.npz")?,
            float16: save.float16,
            heat: open(save.heat, "heat.npz")?,
            tensors: open(save.tensors, "tensors.npz")?,
            channels: save.tensors.then(|| (out.join("channels.csv"), header)),
        })
    }

    /// Completes the files and moves them into place.
    pub(in crate::run) fn finish(self) -> Result<(), RunError> {
        for file in [self.maps, self.heat, self.tensors].into_iter().flatten() {
            file.finish()?;
        }
        if let Some((path, text)) = self.channels {
            write_atomically(&path, text.as_bytes()).map_err(RunError::writing(&path))?;
        }
        Ok(())
    }
}

impl Sink for Arrays {
    fn write(&mut self, image: &ExplainedImage<'_>) -> Result<(), RunError> {
        let ExplainedImage { explainer, explanation, .. } = *image;
        let index = i64::try_from(image.data.index(image.item)).unwrap_or(i64::MAX);
        if let Some(maps) = &mut self.maps {
            for (spec, attribution) in explainer.maps().iter().zip(&explanation.attributions) {
                let name = &spec.name;
                if self.float16 {
                    push_half(maps, name, &attribution.shape, &attribution.values)?;
                } else {
                    maps.push(name, &attribution.shape, &attribution.values)?;
                }
            }
            maps.push("logits", &[explanation.logits.len()], &explanation.logits)?;
            maps.push_integers("index", &[], &[index])?;
        }
        if let Some(heat) = &mut self.heat {
            let [_, h, w] = explainer.model().shape();
            for (spec, attribution) in explainer.maps().iter().zip(&explanation.attributions) {
                if let Some(values) = attribution.heat_over([h, w]) {
                    heat.push(&spec.name, &[h, w], &values)?;
                }
            }
            heat.push_integers("index", &[], &[index])?;
        }
        if let Some(tensors) = &explanation.tensors {
            if let Some(file) = &mut self.tensors {
                push_tensors(file, tensors, explainer.model().shape())?;
                file.push_integers("index", &[], &[index])?;
            }
            if let Some((_, text)) = &mut self.channels {
                push_channels(text, index, tensors);
            }
        }
        Ok(())
    }
}

/// Writes a map as 16-bit floats, and the power of two by which to multiply its values: 1 unless the largest value is
/// out of range.
fn push_half(file: &mut NpzWriter, name: &str, shape: &[usize], values: &[f32]) -> Result<(), RunError> {
    let scale = half_scale(values);
    let scaled: Vec<f32> = values.iter().map(|value| value / scale).collect();
    file.push_half(name, shape, &scaled)?;
    Ok(file.push(&format!("{name}.scale"), &[], &[scale])?)
}

/// Returns the divisor of values that are stored as 16-bit floats: 1 if the largest one keeps its full precision, from
/// 2⁻¹³ to 65,504, otherwise the power of two that brings it between 1 and 2. The division is exact.
fn half_scale(values: &[f32]) -> f32 {
    let largest = values.iter().filter(|v| v.is_finite()).fold(0.0_f32, |most, v| most.max(v.abs()));
    if largest == 0.0 || (2.0_f32.powi(-13)..=65_504.0).contains(&largest) {
        return 1.0;
    }
    // The reciprocal of a subnormal power of two overflows.
    #[expect(clippy::cast_possible_truncation, reason = "from −149 to 127")]
    let exponent = (largest.log2().floor() as i32).clamp(-126, 127);
    2.0_f32.powi(exponent)
}

fn push_tensors(file: &mut NpzWriter, t: &Tensors, image: [usize; 3]) -> Result<(), RunError> {
    let [c, h, w] = t.layer.shape;
    file.push("conv_output", &[c, h, w], &t.conv_output)?;
    file.push("conv_grad", &[c, h, w], &t.conv_grad)?;
    file.push("input_grad", &image, &t.input_grad)?;
    file.push("weights", &[c], &t.weights)?;
    file.push("cam", &[h, w], &t.cam)?;
    Ok(())
}

/// Writes one row per channel. For a global-average-pooling head the products sum to the logit minus the bias.
fn push_channels(text: &mut String, index: i64, tensors: &Tensors) {
    for (k, (w, mean)) in tensors.weights.iter().zip(tensors.channel_means()).enumerate() {
        let product = f64::from(*w) * mean;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{index},{k},{w},{mean},{product},{}", tensors.dense_weights);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_keep_maps_of_any_size() {
        for size in [1e-38_f32, 1e-20, 1e-8, 1e-4, 0.3, 7.0, 60_000.0, 1e6, 3e38] {
            let values = [size, -size / 3.0, size / 7.0, 0.0];
            let scale = half_scale(&values);
            for value in values {
                let stored = half::f16::from_f32(value / scale).to_f32();
                assert!(
                    (stored * scale - value).abs() <= size * 2.0_f32.powi(-11),
                    "{size}: {value} {stored}"
                );
            }
        }
        assert_eq!([half_scale(&[0.5, -9.0]), half_scale(&[0.0]), half_scale(&[])], [1.0; 3]);
        assert_eq!(half_scale(&[f32::NAN, 1e-9]), 2.0_f32.powi(-30));
    }
}
