//! Recipro-CAM.

use std::sync::Arc;

use crate::method::study::Halves;
use crate::method::{
    MapKind, Method, MethodError, Parameter, PassCount, Passes, Setting, Study, Subject, Work,
};
use crate::model::Layer;

/// The registry row.
pub(super) static RECIPRO_CAM: Method = Method {
    id: "recipro_cam",
    title: "Recipro-CAM",
    summary: "the score when the layer keeps a single place and all others are silent; no gradients",
    formula: "map at (i, j) = y with A zeroed everywhere but at (i, j)",
    paper: "Byun and Lee 2022, Recipro-CAM: Fast gradient-free visual explanations for convolutional neural networks, arXiv:2209.14074; with class tokens kept, Byun and Lee 2023, ViT-ReciproCAM",
    cost: "1 forward pass, and for each place of the layer 1 pass from the layer to the score",
    sanity: "not examined that we know of",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[Parameter {
        name: "kernel",
        default: Setting::Choice(&["single", "gaussian"]),
        summary: "what is kept: one place, or with it its neighbours by half (the binomial 3×3 kernel)",
    }],
    work: Work::Passes(prepare),
};

fn prepare(study: &Study<'_>) -> Result<Box<dyn Passes>, MethodError> {
    let gaussian = study.chosen.choice("kernel")? == "gaussian";
    Ok(Box::new(Recipro { layer: study.layer.clone(), gaussian, halves: study.halves()? }))
}

#[derive(Debug)]
struct Recipro {
    layer: Layer,
    gaussian: bool,
    halves: Arc<Halves>,
}

impl Passes for Recipro {
    fn shape(&self) -> Vec<usize> {
        self.layer.shape[1..].to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.shape().iter().product::<usize>() + 1)
    }

    fn explain(&self, subject: &Subject<'_>) -> Result<Vec<f32>, MethodError> {
        let reached = self.halves.reach(subject)?;
        let [channels, h, w] = self.layer.shape;
        let keep_one = |kept: usize, values: &mut [f32]| {
            for place in 0..h * w {
                let share = self.share(kept, place, w);
                for k in 0..channels {
                    values[self.layer.offset(k, place)] *= share;
                }
            }
        };
        self.halves.scores(subject, &reached, h * w, &keep_one)
    }
}

impl Recipro {
    /// How much of a place stays when `kept` is the one that is kept.
    fn share(&self, kept: usize, place: usize, w: usize) -> f32 {
        let (rows, columns) = ((kept / w).abs_diff(place / w), (kept % w).abs_diff(place % w));
        match (self.gaussian, rows, columns) {
            (_, 0, 0) => 1.0,
            (true, 0, 1) | (true, 1, 0) => 0.5,
            (true, 1, 1) => 0.25,
            _ => 0.0,
        }
    }
}
