//! Ablation-CAM.

use crate::method::study::{Halves, TargetProgram};
use crate::method::{MapKind, Method, MethodError, Passes, Study, Subject, Work};
use crate::model::Layer;

/// The registry row.
pub(super) static ABLATION_CAM: Method = Method {
    id: "ablation_cam",
    title: "Ablation-CAM",
    summary: "channels weighted by how much the score falls without them; no gradients",
    formula: "Σₖ wₖ Aₖ, with wₖ = (y − yₖ) ÷ |y|, yₖ the score with channel k set to zero",
    paper: "Desai and Ramaswamy 2020, Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free Localization, WACV, equation 3",
    cost: "1 forward pass, and for each channel 1 pass from the layer to the score",
    sanity: "not examined that we know of",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[],
    work: Work::Passes(prepare),
};

fn prepare(study: &Study<'_>) -> Result<Box<dyn Passes>, MethodError> {
    let [_, h, w] = study.layer.shape;
    let activations = study.program(|f| Ok(vec![f.activations()?, f.target()?]))?;
    Ok(Box::new(Ablation { layer: study.layer.clone(), shape: [h, w], activations, halves: study.halves()? }))
}

#[derive(Debug)]
struct Ablation {
    layer: Layer,
    shape: [usize; 2],
    activations: TargetProgram,
    halves: Halves,
}

impl Passes for Ablation {
    fn shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    /// The paper divides by y; by |y| here, so that a negative score does not turn the map round, and
    /// not at all where y is 0.
    fn explain(&self, subject: &Subject<'_>) -> Result<Vec<f32>, MethodError> {
        let outputs = self.activations.run(subject.pixels, 1, subject.target)?;
        let (planes, score) = (&outputs[0], outputs[1][0]);
        let reached = self.halves.reach(subject)?;
        let [channels, h, w] = self.layer.shape;
        let silence = |k: usize, values: &mut [f32]| {
            (0..h * w).for_each(|place| values[self.layer.offset(k, place)] = 0.0);
        };
        let scores = self.halves.scores(subject, &reached, channels, &silence)?;
        let size = if score == 0.0 { 1.0 } else { score.abs() };
        let mut map = vec![0.0; h * w];
        for (plane, without) in planes.chunks((h * w).max(1)).zip(&scores) {
            let weight = (score - without) / size;
            map.iter_mut().zip(plane).for_each(|(sum, a)| *sum += weight * a);
        }
        Ok(map)
    }
}
