//! LIME.

use std::sync::Arc;

use crate::method::parts::{Cutting, Segments, solve};
use crate::method::study::TargetProgram;
use crate::method::{
    MapKind, Method, MethodError, Parameter, PassCount, Passes, Setting, Study, Subject, Work,
};
use crate::random::Key;

/// Registry entry. The kernel is the paper's exp(−D²/σ²) with the cosine distance of its text experiments; the
/// authors' program uses its square root.
pub(super) static LIME: Method = Method {
    id: "lime",
    title: "LIME",
    summary: "the weights of a linear model of the score, fitted where few pieces of the image are covered",
    formula: "argmin over β₀, β of Σᵢ exp(−D(zᵢ, 1)²/σ²) · (y(x with pieces zᵢ) − β₀ − β·zᵢ)² + λ‖β‖², D = 1 − √(share shown)",
    paper: "Ribeiro et al. 2016, \"Why Should I Trust You?\": Explaining the Predictions of Any Classifier, KDD",
    cost: "as many forward passes as samples (1000)",
    sanity: "not examined that we know of; it sees the model only through its scores",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some(
        "the picture changes with the pieces, the width of the kernel and the samples: compare several seeds",
    ),
    parameters: &[
        Parameter { name: "samples", default: Setting::Count(1000), summary: "images with pieces covered" },
        Cutting::SEGMENTS,
        Cutting::SHAPES,
        Cutting::FILL,
        Parameter {
            name: "width",
            default: Setting::Number(0.25),
            summary: "σ: how far from the image samples still count",
        },
        Parameter {
            name: "ridge", default: Setting::Number(1.0), summary: "λ: how much large weights cost"
        },
    ],
    work: Work::Passes(prepare),
};

#[derive(Debug)]
struct Lime {
    score: Arc<TargetProgram>,
    size: [usize; 2],
    cutting: Cutting,
    samples: usize,
    width: f64,
    ridge: f64,
    key: Key,
}

fn prepare(study: &Study<'_>) -> Result<Box<dyn Passes>, MethodError> {
    let [_, h, w] = study.image_shape();
    Ok(Box::new(Lime {
        score: study.score_program()?,
        size: [h, w],
        cutting: Cutting::new(study)?,
        samples: study.chosen.count("samples")?,
        width: study.chosen.number_between("width", 0.01, 100.0)?,
        ridge: study.chosen.number_between("ridge", 1e-9, 1e9)?,
        key: study.key(),
    }))
}

impl Lime {
    /// Returns the pieces shown in sample `number`: all in the first, each with a probability of ½ in the others.
    fn shown(&self, number: usize, count: usize) -> Vec<bool> {
        let mut rng = self.key.at(number as u64).rng();
        (0..count).map(|_| number == 0 || rng.coin()).collect()
    }

    #[allow(clippy::cast_precision_loss)]
    fn weight(&self, shown: &[bool]) -> f64 {
        let share = shown.iter().filter(|s| **s).count() as f64 / shown.len() as f64;
        libm::exp(-((1.0 - share.sqrt()) / self.width).powi(2))
    }

    /// Fits the weighted ridge regression with an intercept; returns the weights of the pieces.
    fn fit(&self, subject: &Subject<'_>, pieces: &Segments) -> Result<Vec<f64>, MethodError> {
        let (n, cover) = (pieces.count + 1, self.cutting.cover(subject.pixels));
        let make = |number: usize, image: &mut [f32]| {
            pieces.cover(image, &cover, &self.shown(number, pieces.count));
        };
        let (mut squares, mut products) = (vec![0.0; n * n], vec![0.0; n]);
        self.score.stream(subject, self.samples, &make, &mut |number, _, outputs| {
            let shown = self.shown(number, pieces.count);
            let (weight, score) = (self.weight(&shown), f64::from(outputs[0][0]));
            let present: Vec<usize> = [0].into_iter().chain((1..n).filter(|&i| shown[i - 1])).collect();
            for &i in &present {
                products[i] += weight * score;
                present.iter().for_each(|&j| squares[i * n + j] += weight);
            }
        })?;
        (1..n).for_each(|i| squares[i * n + i] += self.ridge);
        let mut solution = [products];
        solve(squares, &mut solution);
        let [mut solution] = solution;
        solution.remove(0);
        Ok(solution)
    }
}

impl Passes for Lime {
    fn shape(&self) -> Vec<usize> {
        self.size.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.samples)
    }

    fn explain(&self, subject: &Subject<'_>) -> Result<Vec<f32>, MethodError> {
        let pieces = self.cutting.cut(subject.pixels);
        Ok(pieces.paint(&self.fit(subject, &pieces)?))
    }
}
