//! Kernel SHAP.

use std::sync::Arc;

use crate::method::multi_pass::TargetProgram;
use crate::method::parts::{Cutting, Segments, solve};
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};
use crate::random::Key;

/// Registry entry. If at least as many samples are allowed as there are coalitions, all coalitions are evaluated
/// with the kernel's weights and the Shapley values are exact. Otherwise, coalitions are drawn with these weights,
/// each paired with its complement. The constraint Σφ = y(x) − y(covered) is enforced exactly; other
/// implementations approximate it by two samples with very large weights.
pub(super) static KERNEL_SHAP: Method = Method {
    id: "kernel_shap",
    title: "Kernel SHAP",
    summary: "what each piece of the image adds to the score, fairly shared: its Shapley value",
    formula: "argmin over φ with Σφ = y(x) − y(covered) of Σ_z π(z) · (y(x with pieces z) − y(covered) − φ·z)², π(z) = (M − 1) / (C(M,|z|) · |z| · (M − |z|))",
    paper: "Lundberg and Lee 2017, A Unified Approach to Interpreting Model Predictions, NeurIPS",
    cost: "as many forward passes as samples (1000), and 2 more",
    sanity: "not tested, as far as we know; it sees the model only through its scores",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some(
        "each pixel shows the value of its whole piece; another cutting or another cover gives other values",
    ),
    parameters: &[
        MethodParameter {
            name: "samples",
            default: Setting::Count(1000),
            summary: "images with pieces covered, at most",
        },
        Cutting::SEGMENTS,
        Cutting::SHAPES,
        Cutting::FILL,
    ],
    work: Work::Passes(prepare),
};

#[derive(Debug)]
struct KernelShap {
    score: Arc<TargetProgram>,
    size: [usize; 2],
    cutting: Cutting,
    samples: usize,
    key: Key,
}

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let [_, h, w] = context.image_shape();
    let cutting = Cutting::new(context)?;
    // A coalition and its complement together determine one more direction of the solution.
    let pieces = cutting.most();
    let enough = |samples: usize| samples.div_ceil(2) + 1 >= pieces || looks_at_all(pieces, samples);
    let least = 2 * pieces.saturating_sub(1);
    let too_few = || {
        let count = context.chosen.count("samples").unwrap_or_default();
        format!(
            "{count} coalitions do not tell {pieces} pieces apart; use {least} or more, or fewer segments"
        )
    };
    let samples = context.count_that_fits("samples", enough, least, too_few)?;
    Ok(Box::new(KernelShap {
        score: context.score_program()?,
        size: [h, w],
        cutting,
        samples,
        key: context.key(),
    }))
}

/// Returns true if `samples` suffice for every coalition except the empty and the full one.
fn looks_at_all(pieces: usize, samples: usize) -> bool {
    let all = u32::try_from(pieces).ok().and_then(|pieces| 1usize.checked_shl(pieces));
    all.is_some_and(|all| all - 2 <= samples)
}

/// The coalitions to evaluate.
enum Coalitions {
    /// All except the empty and the full one.
    All { pieces: usize },
    /// A number of random pairs.
    Drawn { pieces: usize, pairs: usize, key: Key },
}

impl Coalitions {
    fn count(&self) -> usize {
        match self {
            Self::All { pieces } => (1 << pieces) - 2,
            Self::Drawn { pairs, .. } => 2 * pairs,
        }
    }

    /// Returns the members and the weight of a coalition.
    #[allow(clippy::cast_precision_loss)]
    fn at(&self, number: usize) -> (Vec<bool>, f64) {
        match *self {
            Self::All { pieces } => {
                let shown: Vec<bool> = (0..pieces).map(|i| (number + 1) >> i & 1 == 1).collect();
                let inside = shown.iter().filter(|s| **s).count();
                let ways: f64 = (0..inside).map(|i| (pieces - i) as f64 / (i + 1) as f64).product();
                (shown, (pieces - 1) as f64 / (ways * (inside * (pieces - inside)) as f64))
            }
            Self::Drawn { pieces, key, .. } => {
                let mut rng = key.at((number / 2) as u64).rng();
                // A size s is drawn with a probability proportional to 1 / (s · (M − s)), that of all coalitions of
                // this size.
                let size = |s: usize| 1.0 / (s * (pieces - s)) as f64;
                let mut left = rng.uniform_f64() * (1..pieces).map(size).sum::<f64>();
                let mut inside = 1;
                while inside + 1 < pieces && left >= size(inside) {
                    left -= size(inside);
                    inside += 1;
                }
                let mut order: Vec<usize> = (0..pieces).collect();
                rng.shuffle(&mut order);
                let drawn = number.is_multiple_of(2);
                let mut shown = vec![!drawn; pieces];
                order[..inside].iter().for_each(|&piece| shown[piece] = drawn);
                (shown, 1.0)
            }
        }
    }
}

impl KernelShap {
    fn coalitions(&self, pieces: usize) -> Coalitions {
        if looks_at_all(pieces, self.samples) {
            return Coalitions::All { pieces };
        }
        Coalitions::Drawn { pieces, pairs: self.samples.div_ceil(2), key: self.key }
    }

    /// Computes the Shapley values of the pieces.
    fn values(&self, input: &PassInput<'_>, pieces: &Segments) -> Result<Vec<f64>, MethodError> {
        let (n, cover) = (pieces.count, self.cutting.cover(input.pixels));
        let coalitions = self.coalitions(n);
        // The empty coalition comes first, then the full one.
        let at = |number: usize| match number {
            0 | 1 => (vec![number == 1; n], 0.0),
            number => coalitions.at(number - 2),
        };
        let make = |number: usize, image: &mut [f32]| pieces.cover(image, &cover, &at(number).0);
        let mut ends = [0.0; 2];
        let (mut squares, mut products) = (vec![0.0; n * n], vec![0.0; n]);
        self.score.stream(input, coalitions.count() + 2, &make, &mut |number, _, outputs| {
            let score = f64::from(outputs[0][0]);
            if number < 2 {
                ends[number] = score;
                return;
            }
            let (shown, weight) = at(number);
            let present: Vec<usize> = (0..n).filter(|&i| shown[i]).collect();
            for &i in &present {
                products[i] += weight * (score - ends[0]);
                present.iter().for_each(|&j| squares[i * n + j] += weight);
            }
        })?;
        let whole = ends[1] - ends[0];
        Ok(if n == 1 { vec![whole] } else { constrained(squares, products, whole) })
    }
}

/// Returns the least-squares solution with sum `whole`: A⁻¹(b − λ·1), with λ given by the constraint.
fn constrained(squares: Vec<f64>, products: Vec<f64>, whole: f64) -> Vec<f64> {
    let mut solutions = [vec![1.0; products.len()], products];
    solve(squares, &mut solutions);
    let [ones, free] = solutions;
    let lambda = (free.iter().sum::<f64>() - whole) / ones.iter().sum::<f64>();
    free.iter().zip(ones).map(|(free, one)| free - lambda * one).collect()
}

impl MultiPass for KernelShap {
    fn shape(&self) -> Vec<usize> {
        self.size.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.coalitions(self.cutting.most()).count() + 2)
    }

    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let pieces = self.cutting.cut(input.pixels);
        Ok(pieces.paint(&self.values(input, &pieces)?))
    }
}
