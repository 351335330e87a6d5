//! Prediction of scores, without explanations.

mod batch;
mod detections;
mod plausibility;
mod predictions;

use heatlens_cpu::StepTime;

use crate::data::Dataset;
use crate::explain::ExplainError;
use crate::model::Model;
use crate::model::program::ImageProgram;
use crate::run::Monitor;

pub use batch::ImageResults;
pub(crate) use batch::{Batch, in_batches};
pub use detections::Detections;
pub use plausibility::check_plausibility;
pub use predictions::Predictions;

/// A compiled network.
#[derive(Debug)]
pub struct Predictor {
    program: ImageProgram,
}

impl Predictor {
    /// Compiles the model up to its logits.
    ///
    /// # Errors
    /// If an operator has no kernel.
    pub fn new(model: &Model) -> Result<Self, ExplainError> {
        Ok(Self { program: ImageProgram::compile(&model.graph, model.image, &[model.head.logits])? })
    }

    /// Returns the logits of `n` images, N×K, given as `c*h*w` values each.
    ///
    /// # Errors
    /// If `pixels` does not hold `n` images of the model's size.
    pub fn logits(&self, pixels: &[f32], n: usize) -> Result<Vec<f32>, ExplainError> {
        Ok(self.program.run(&[pixels], n)?.swap_remove(0))
    }

    /// Returns the logits of every image of `data`. Unreadable images are reported to `monitor` immediately.
    ///
    /// # Errors
    /// If the images do not have the model's input size.
    pub fn of_images(
        &self,
        data: &dyn Dataset,
        monitor: &dyn Monitor,
    ) -> Result<ImageResults<Vec<f32>>, ExplainError> {
        ImageResults::collect(data, monitor, |batch| {
            let (logits, n) = (self.logits(&batch.pixels(), batch.items.len())?, batch.items.len().max(1));
            Ok(logits.chunks_exact((logits.len() / n).max(1)).map(<[f32]>::to_vec).collect())
        })
    }

    /// Returns the time of each kernel for `n` images.
    ///
    /// # Errors
    /// As for [`logits`](Self::logits).
    pub fn profile(&self, pixels: &[f32], n: usize) -> Result<Vec<StepTime>, ExplainError> {
        Ok(self.program.profile(&[pixels], n)?)
    }

    /// Returns the buffer size per image in bytes, without weights.
    #[must_use]
    pub fn bytes_per_image(&self) -> u128 {
        self.program.bytes_per_image()
    }
}

/// Returns the output of the model file from which the scores are taken, as the file gives it, for `n` images of `c*h*w`
/// values each.
///
/// # Errors
/// If an operator has no kernel, or `pixels` does not hold `n` images of the model's size.
pub fn output(model: &Model, pixels: &[f32], n: usize) -> Result<Vec<f32>, ExplainError> {
    let program = ImageProgram::compile(&model.graph, model.image, &[model.head.output])?;
    Ok(program.run(&[pixels], n)?.swap_remove(0))
}

/// Returns the classes and their probabilities, in descending order; the first class of ties comes first.
#[must_use]
pub fn ranking(probabilities: &[f64]) -> Vec<(usize, f64)> {
    let mut ranked: Vec<(usize, f64)> = probabilities.iter().copied().enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_class_comes_first() {
        let classes: Vec<usize> =
            ranking(&[0.2, 0.4, 0.0, 0.4]).into_iter().map(|(class, _)| class).collect();
        assert_eq!(classes, [1, 3, 0, 2]);
    }
}
