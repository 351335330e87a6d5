//! LIME.

use std::sync::Arc;

use crate::method::multi_pass::TargetProgram;
use crate::method::parts::{Cutting, Segments, solve};
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
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
    sanity: "not tested, as far as we know; it sees the model only through its scores",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some(
        "the picture changes with the pieces, the width of the kernel and the samples: compare several seeds",
    ),
    parameters: &[
        MethodParameter {
            name: "samples",
            default: Setting::Count(1000),
            summary: "images with pieces covered",
        },
        Cutting::SEGMENTS,
        Cutting::SHAPES,
        Cutting::FILL,
        MethodParameter {
            name: "width",
            default: Setting::Number(0.25),
            summary: "σ: how far from the image samples still count",
        },
        MethodParameter {
            name: "ridge",
            default: Setting::Number(1.0),
            summary: "λ: how much large weights cost",
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

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let [_, h, w] = context.image_shape();
    Ok(Box::new(Lime {
        score: context.score_program()?,
        size: [h, w],
        cutting: Cutting::new(context)?,
        samples: context.chosen.count("samples")?,
        width: context.chosen.number_between("width", 0.01, 100.0)?,
        ridge: context.chosen.number_between("ridge", 1e-9, 1e9)?,
        key: context.key(),
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
    fn fit(&self, input: &PassInput<'_>, pieces: &Segments) -> Result<Vec<f64>, MethodError> {
        let (n, cover) = (pieces.count + 1, self.cutting.cover(input.pixels));
        let make = |number: usize, image: &mut [f32]| {
            pieces.cover(image, &cover, &self.shown(number, pieces.count));
        };
        let (mut squares, mut products) = (vec![0.0; n * n], vec![0.0; n]);
        self.score.stream(input, self.samples, &make, &mut |number, _, outputs| {
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

impl MultiPass for Lime {
    fn shape(&self) -> Vec<usize> {
        self.size.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.samples)
    }

    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let pieces = self.cutting.cut(input.pixels);
        Ok(pieces.paint(&self.fit(input, &pieces)?))
    }
}
