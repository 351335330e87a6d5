//! HSIC attribution.

use std::sync::Arc;

use crate::extremes::extremes;
use crate::method::multi_pass::TargetProgram;
use crate::method::parts::GridMasks;
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};
use crate::random::Key;

/// Registry entry. The width of the score kernel is the median distance between two scores, so that the map is
/// invariant to a constant added to the score; another implementation uses the median score.
pub(super) static HSIC: Method = Method {
    id: "hsic",
    title: "HSIC attribution",
    summary: "how much the score depends on whether a cell is visible, in any way and not only on average",
    formula: "HSIC_i = tr(K_i H L H) / (N − 1)², K_i(m, m′) = [mᵢ = m′ᵢ], L(y, y′) = exp(−(y − y′)² / 2σ²), σ the median |y − y′|, H centring",
    paper: "Novello et al. 2022, Making Sense of Dependence: Efficient Black-box Explanations Using Dependence Measure, NeurIPS",
    cost: "as many forward passes as samples (1500)",
    sanity: "not tested, as far as we know; it sees the model only through its scores",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some("it has no sign: a cell that speaks against the class is as bright as one for it"),
    parameters: &[
        MethodParameter { name: "samples", default: Setting::Count(1500), summary: "N: random masks" },
        MethodParameter { name: "grid", default: Setting::Count(7), summary: "cells of a mask's side" },
        GridMasks::FILL,
    ],
    work: Work::Passes(prepare),
};

/// Maximum number of samples; all pairs of scores are compared.
const MOST_SAMPLES: usize = 5_000;

#[derive(Debug)]
struct Hsic {
    score: Arc<TargetProgram>,
    masks: GridMasks,
    samples: usize,
    key: Key,
}

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let samples = context.chosen.count_up_to("samples", MOST_SAMPLES)?;
    if samples < 2 {
        return Err(context.chosen.wrong("samples", "one sample shows no dependence; use 2 or more"));
    }
    Ok(Box::new(Hsic {
        score: context.score_program()?,
        masks: GridMasks::new(context)?,
        samples,
        key: context.key(),
    }))
}

impl Hsic {
    /// Returns mask `number`: each cell is visible with a probability of ½.
    fn cells(&self, number: usize) -> Vec<f32> {
        let mut rng = self.key.at(number as u64).rng();
        (0..self.masks.cells()).map(|_| if rng.coin() { 1.0 } else { 0.0 }).collect()
    }
}

impl MultiPass for Hsic {
    fn shape(&self) -> Vec<usize> {
        vec![self.masks.side; 2]
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.samples)
    }

    #[allow(clippy::cast_possible_truncation)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let cover = self.masks.cover(input.pixels);
        let make = |number: usize, image: &mut [f32]| self.masks.apply(image, &cover, &self.cells(number));
        let mut scores = Vec::with_capacity(self.samples);
        self.score.stream(input, self.samples, &make, &mut |_, _, outputs| scores.push(outputs[0][0]))?;
        let [low, high] = extremes(&scores);
        let cells = self.masks.cells();
        if low == high || !(high - low).is_finite() {
            return Ok(vec![if low == high { 0.0 } else { f32::NAN }; cells]);
        }
        let width = median_distance(&scores);
        let masks: Vec<Vec<f32>> = (0..self.samples).map(|number| self.cells(number)).collect();
        Ok(dependence(masks, &scores, width).into_iter().map(|v| v as f32).collect())
    }
}

/// Returns the median of |y − y′| over all pairs, or the mean if more than half of the pairs are equal.
#[allow(clippy::cast_precision_loss)]
fn median_distance(scores: &[f32]) -> f64 {
    let pairs =
        |(i, y): (usize, &f32)| scores[..i].iter().map(move |other| (y - other).abs()).collect::<Vec<_>>();
    let mut distances: Vec<f32> = scores.iter().enumerate().flat_map(pairs).collect();
    let middle = distances.len() / 2;
    let median = f64::from(*distances.select_nth_unstable_by(middle, f32::total_cmp).1);
    if median > 0.0 {
        return median;
    }
    distances.iter().map(|&d| f64::from(d)).sum::<f64>() / distances.len() as f64
}

/// Returns the HSIC of every cell. With sᵢ = ±1 for visible and hidden, [mᵢ = mⱼ] is (1 + sᵢsⱼ)/2, and centring
/// leaves tr(K H L H) = ½ Σ s̃ᵢ s̃ⱼ L(yᵢ, yⱼ), with s̃ the signs minus their mean. The kernel of the scores is the
/// same for all cells and is the expensive part.
#[allow(clippy::cast_precision_loss)]
fn dependence(masks: Vec<Vec<f32>>, scores: &[f32], width: f64) -> Vec<f64> {
    let (n, cells) = (masks.len() as f64, masks.first().map_or(0, Vec::len));
    let mut signs: Vec<Vec<f64>> =
        masks.into_iter().map(|mask| mask.into_iter().map(|m| 2.0 * f64::from(m) - 1.0).collect()).collect();
    for cell in 0..cells {
        let mean = signs.iter().map(|s| s[cell]).sum::<f64>() / n;
        signs.iter_mut().for_each(|s| s[cell] -= mean);
    }
    let mut sums = vec![0.0; cells];
    for (i, y) in scores.iter().enumerate() {
        let mut row = vec![0.0; cells];
        for (other, signs) in scores[..i].iter().zip(&signs) {
            let near = kernel(f64::from(y - other), width);
            row.iter_mut().zip(signs).for_each(|(sum, s)| *sum += s * near);
        }
        for ((sum, row), sign) in sums.iter_mut().zip(row).zip(&signs[i]) {
            *sum += sign * (2.0 * row + sign);
        }
    }
    sums.into_iter().map(|sum| 0.5 * sum / ((n - 1.0) * (n - 1.0))).collect()
}

fn kernel(distance: f64, width: f64) -> f64 {
    libm::exp(-0.5 * (distance / width).powi(2))
}
