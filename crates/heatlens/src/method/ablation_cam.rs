//! Ablation-CAM.

use std::sync::Arc;

use crate::method::multi_pass::SplitProgram;
use crate::method::{MapKind, Method, MethodError, MultiPass, PassContext, PassCount, PassInput, Work};
use crate::model::Layer;

/// Registry entry.
pub(super) static ABLATION_CAM: Method = Method {
    id: "ablation_cam",
    title: "Ablation-CAM",
    summary: "channels weighted by how much the score falls without them; no gradients",
    formula: "Σₖ wₖ Aₖ, with wₖ = (y − yₖ) ÷ |y|, yₖ the score with channel k set to zero",
    paper: "Desai and Ramaswamy 2020, Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free Localization, WACV",
    cost: "1 forward pass, and for each channel 1 pass from the layer to the score",
    sanity: "not tested, as far as we know",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[],
    work: Work::Passes(prepare),
};

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    Ok(Box::new(Ablation { layer: context.layer.clone(), split: context.split_program()? }))
}

#[derive(Debug)]
struct Ablation {
    layer: Layer,
    split: Arc<SplitProgram>,
}

impl MultiPass for Ablation {
    fn shape(&self) -> Vec<usize> {
        self.layer.shape[1..].to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.layer.shape[0] + 2)
    }

    /// Computes the map. The paper divides by y; dividing by |y| keeps the sign of the map for a negative score,
    /// and a score of 0 is not divided by.
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let layer_output = self.split.run_front(input)?;
        let [channels, h, w] = self.layer.shape;
        // The first variant is the unchanged layer.
        let silence = |variant: usize, values: &mut [f32]| {
            if let Some(k) = variant.checked_sub(1) {
                (0..h * w).for_each(|place| values[self.layer.offset(k, place)] = 0.0);
            }
        };
        let scores = self.split.scores(input, &layer_output, channels + 1, &silence)?;
        let score = scores[0];
        let size = if score == 0.0 { 1.0 } else { score.abs() };
        let mut map = vec![0.0; h * w];
        for (k, without) in scores[1..].iter().enumerate() {
            let weight = (score - without) / size;
            for (place, sum) in map.iter_mut().enumerate() {
                *sum += weight * layer_output.layer[self.layer.offset(k, place)];
            }
        }
        Ok(map)
    }
}
