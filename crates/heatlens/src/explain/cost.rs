//! Estimate of the time an explanation takes.

use crate::bench::seconds;
use crate::explain::map_spec::MapSource;
use crate::explain::{ExplainError, Explainer, smoothing};
use crate::method::PassCount;
use crate::predict::Predictor;

/// Batch size of the trial run.
const TOGETHER: usize = 16;
/// Cost of a forward and backward pass, in forward passes.
const BACK: f64 = 3.0;

/// Estimated cost of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostEstimate {
    /// Number of passes through the model by methods that need many.
    pub passes: PassCount,
    /// Total seconds, on this machine under its current load.
    pub seconds: f64,
}

impl Explainer {
    /// Estimates the cost of one image by timing each kind of pass with this image. Drawing is not included.
    ///
    /// # Errors
    /// If `pixels` is not one image of the model's size.
    #[allow(clippy::cast_precision_loss)] // counts of passes
    pub fn estimate(&self, pixels: &[f32]) -> Result<CostEstimate, ExplainError> {
        let passes = self.pass_count();
        let copies = pixels.repeat(TOGETHER);
        let predictor = Predictor::new(self.model())?;
        // The first run is slower because memory is touched for the first time.
        predictor.logits(pixels, 1)?;
        let forward = seconds(|| predictor.logits(&copies, TOGETHER))? / TOGETHER as f64;
        self.profile(pixels, 1)?;
        let shared = seconds(|| self.profile(pixels, 1))?;
        let once = shared + forward * (passes.forward as f64 + BACK * passes.back as f64);
        Ok(CostEstimate { passes, seconds: once * self.copies() as f64 })
    }

    /// Returns the number of passes of all methods that make many.
    fn pass_count(&self) -> PassCount {
        let counts = self.parts.iter().filter_map(|part| match part.source {
            MapSource::Passes { number, .. } => Some(self.passes[number].count()),
            MapSource::Output(_) => None,
        });
        counts.fold(PassCount::default(), |sum, count| PassCount {
            forward: sum.forward + count.forward,
            back: sum.back + count.back,
        })
    }

    /// Returns the number of copies of each image that are explained.
    fn copies(&self) -> usize {
        if self.augment { 1 + smoothing::copies().count() } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{ExplainOptions, Target};
    use crate::method::find;
    use crate::model::Model;
    use crate::train::arch;

    #[test]
    fn passes_are_counted_for_every_method_class_and_copy() {
        let network = arch::find("gap-cnn").unwrap().build([1, 32, 32], 2, 0).unwrap();
        let model = Model::from_graph(network).unwrap();
        let explainer = |ids: &[&str], augment: bool| {
            let methods: Vec<_> = ids.iter().map(|id| find(id).unwrap()).collect();
            let mut options =
                ExplainOptions { target: Target::All, augment, ..ExplainOptions::new(&methods) };
            for setting in ["masks=20", "steps=3", "smooth_grad.samples=5", "sobol.samples=2", "sobol.grid=3"]
            {
                options.settings.set(setting).unwrap();
            }
            Explainer::new(&model, &options).unwrap()
        };
        let channels = model.default_layer().unwrap().shape[0];
        for (id, forward, back) in [
            ("grad_cam", 0, 0),
            ("rise", 20, 0),
            ("integrated_gradients", 0, 3),
            ("smooth_grad", 0, 5),
            ("sobol", 2 * (9 + 1), 0),
            ("occlusion", 3 * 3 + 1, 0),
            ("score_cam", channels + 1, 0),
            ("extremal_perturbation", 2, 3),
        ] {
            let count = explainer(&[id], false).pass_count();
            // Two classes, each with separate passes.
            assert_eq!(count, PassCount { forward: 2 * forward, back: 2 * back }, "{id}");
        }
        let image = vec![0.5; 32 * 32];
        let told = |augment| explainer(&["rise", "grad_cam"], augment).estimate(&image).unwrap();
        assert_eq!(told(false).passes, PassCount::forward(40));
        assert!(told(false).seconds > 0.0);
        assert_eq!(explainer(&["rise"], true).copies(), 6);
        assert!(explainer(&["rise"], false).estimate(&image[1..]).is_err());
    }
}
