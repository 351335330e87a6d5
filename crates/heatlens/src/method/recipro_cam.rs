//! Recipro-CAM.

use std::sync::Arc;

use crate::method::multi_pass::SplitProgram;
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};
use crate::model::Layer;

/// Registry entry. The paper subtracts nothing (`--compat`): if the score of a silent layer is low, because of the
/// network's biases, the whole map is negative.
pub(super) static RECIPRO_CAM: Method = Method {
    id: "recipro_cam",
    title: "Recipro-CAM",
    summary: "how much a single place of the layer adds to the score when all others are silent; no gradients",
    formula: "map at (i, j) = y with A zeroed everywhere but at (i, j), less y with A zeroed everywhere",
    paper: "Byun and Lee 2022, Recipro-CAM: Fast gradient-free visual explanations for convolutional neural networks, arXiv:2209.14074; with class tokens kept, Byun and Lee 2023, ViT-ReciproCAM",
    cost: "1 forward pass, and for each place of the layer 1 pass from the layer to the score, and 1 more",
    sanity: "not tested, as far as we know",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[MethodParameter {
        name: "kernel",
        default: Setting::Choice(&["single", "gaussian"]),
        summary: "what is kept: one place, or with it its neighbours by half (the binomial 3×3 kernel)",
    }],
    work: Work::Passes(prepare),
};

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let gaussian = context.chosen.choice("kernel")? == "gaussian";
    let (layer, split, published) = (context.layer.clone(), context.split_program()?, context.published);
    Ok(Box::new(Recipro { layer, gaussian, split, published }))
}

#[derive(Debug)]
struct Recipro {
    layer: Layer,
    gaussian: bool,
    split: Arc<SplitProgram>,
    /// True if the map is made exactly as published.
    published: bool,
}

impl MultiPass for Recipro {
    fn shape(&self) -> Vec<usize> {
        self.layer.shape[1..].to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.shape().iter().product::<usize>() + 2)
    }

    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let layer_output = self.split.run_front(input)?;
        let [channels, h, w] = self.layer.shape;
        let keep_one = |kept: usize, values: &mut [f32]| {
            for place in 0..h * w {
                let share = self.share(kept, place, w);
                for k in 0..channels {
                    values[self.layer.offset(k, place)] *= share;
                }
            }
        };
        // The last variant keeps no position.
        let mut scores = self.split.scores(input, &layer_output, h * w + 1, &keep_one)?;
        let silent = scores.pop().unwrap_or(0.0);
        if !self.published {
            scores.iter_mut().for_each(|score| *score -= silent);
        }
        Ok(scores)
    }
}

impl Recipro {
    /// Returns the share of a position that remains when `kept` is the kept one.
    fn share(&self, kept: usize, place: usize, w: usize) -> f32 {
        if kept == self.layer.shape[1] * w {
            return 0.0;
        }
        let (rows, columns) = ((kept / w).abs_diff(place / w), (kept % w).abs_diff(place % w));
        match (self.gaussian, rows, columns) {
            (_, 0, 0) => 1.0,
            (true, 0, 1) | (true, 1, 0) => 0.5,
            (true, 1, 1) => 0.25,
            _ => 0.0,
        }
    }
}
