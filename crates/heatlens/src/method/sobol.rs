//! Sobol attribution.

use std::sync::Arc;

use crate::method::multi_pass::TargetProgram;
use crate::method::parts::{GridMasks, Moments, halton};
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};

/// Registry entry.
pub(super) static SOBOL: Method = Method {
    id: "sobol",
    title: "Sobol attribution",
    summary: "the share of the score's variance under random masks that a cell is involved in, alone or with \
        others",
    formula: "S_i = Σⱼ (y(Aⱼ) − y(Cⱼ))² / (2N · Var y(A)) by Jansen's estimator: rows Aⱼ of masks, Cⱼ with cell i from another row Bⱼ, both from a Halton sequence",
    paper: "Fel et al. 2021, Look at the Variance! Efficient Black-box Explanations with Sobol-based Sensitivity Analysis, NeurIPS",
    cost: "samples · (grid² + 1) forward passes (2080)",
    sanity: "not tested, as far as we know; it sees the model only through its scores",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some("it has no sign: a cell that speaks against the class is as bright as one for it"),
    parameters: &[
        MethodParameter {
            name: "samples",
            default: Setting::Count(32),
            summary: "N: pairs of rows of masks",
        },
        MethodParameter { name: "grid", default: Setting::Count(8), summary: "cells of a mask's side" },
        GridMasks::FILL,
    ],
    work: Work::Passes(prepare),
};

/// Maximum number of samples; all rows are kept in memory.
const MOST_SAMPLES: usize = 10_000;

#[derive(Debug)]
struct Sobol {
    score: Arc<TargetProgram>,
    masks: GridMasks,
    samples: usize,
    /// Cells of A followed by those of B, for each sample.
    rows: Vec<f32>,
}

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let samples = context.chosen.count_up_to("samples", MOST_SAMPLES)?;
    if samples < 2 {
        return Err(context.chosen.wrong("samples", "one sample has no variance; use 2 or more"));
    }
    let masks = GridMasks::new(context)?;
    let rows = halton(samples, 2 * masks.cells(), context.key());
    Ok(Box::new(Sobol { score: context.score_program()?, masks, samples, rows }))
}

impl Sobol {
    /// Returns the mask of a pass: for each sample first A, then A with each cell in turn taken from B.
    fn cells(&self, pass: usize) -> Vec<f32> {
        let n = self.masks.cells();
        let (sample, changed) = (pass / (n + 1), pass % (n + 1));
        let (a, b) = self.rows[2 * n * sample..][..2 * n].split_at(n);
        let mut cells = a.to_vec();
        if let Some(cell) = changed.checked_sub(1) {
            cells[cell] = b[cell];
        }
        cells
    }
}

impl MultiPass for Sobol {
    fn shape(&self) -> Vec<usize> {
        vec![self.masks.side; 2]
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.samples * (self.masks.cells() + 1))
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let n = self.masks.cells();
        let cover = self.masks.cover(input.pixels);
        let make = |pass: usize, image: &mut [f32]| self.masks.apply(image, &cover, &self.cells(pass));
        let (mut sums, mut unchanged, mut spread) = (vec![0.0; n], 0.0, Moments::new(1));
        self.score.stream(input, self.samples * (n + 1), &make, &mut |pass, _, outputs| {
            let score = f64::from(outputs[0][0]);
            match (pass % (n + 1)).checked_sub(1) {
                Some(cell) => sums[cell] += (unchanged - score) * (unchanged - score),
                None => {
                    unchanged = score;
                    spread.add(outputs[0]);
                }
            }
        })?;
        let samples = self.samples as f64;
        let variance = spread.deviation[0] / (samples - 1.0);
        let index = |sum: f64| if variance > 0.0 { sum / (2.0 * samples * variance) } else { 0.0 };
        Ok(sums.into_iter().map(|sum| index(sum) as f32).collect())
    }
}
