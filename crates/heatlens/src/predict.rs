//! Scores only: the network without any explanation.

use crate::explain::ExplainError;
use crate::model::Model;
use crate::model::program::ImageProgram;

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

    /// The logits of `n` images, N×K, given as c·h·w values each.
    ///
    /// # Errors
    /// If `pixels` does not hold `n` images of the model's size.
    pub fn logits(&self, pixels: &[f32], n: usize) -> Result<Vec<f32>, ExplainError> {
        Ok(self.program.run(&[pixels], n)?.swap_remove(0))
    }
}
