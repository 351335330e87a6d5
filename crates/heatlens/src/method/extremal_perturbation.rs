//! Extremal perturbation.

use crate::method::multi_pass::TargetProgram;
use crate::method::parts::GridMasks;
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};
use heatlens_graph::DefaultRules;

/// Registry entry. The paper runs 800 gradient steps on masks smoothed by a maximum of convolutions. Here the mask
/// is a bilinearly upsampled grid, which is smooth by construction and converges in 200 steps. The score is
/// normalized by the change from covering the whole image, so that the weight of the area is comparable between
/// models.
pub(super) static EXTREMAL_PERTURBATION: Method = Method {
    id: "extremal_perturbation",
    title: "Extremal perturbation",
    summary: "the part of the image, of a given area, that alone keeps the score highest",
    formula: "argmax over masks m of y(m ⊙ x + (1 − m) ⊙ b)/|y(x) − y(b)| − λ · mean (sorted m − r)², r being 1 for the given area and 0 elsewhere, λ growing",
    paper: "Fong et al. 2019, Understanding Deep Networks via Extremal Perturbations and Smooth Masks, ICCV",
    cost: "as many forward and backward passes as steps (200), one after the other, and 2 forward passes",
    sanity: "not tested, as far as we know",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some("the area is chosen, not found: it is filled however little the score needs it"),
    parameters: &[
        MethodParameter { name: "steps", default: Setting::Count(200), summary: "steps of the ascent" },
        MethodParameter {
            name: "area",
            default: Setting::Number(0.1),
            summary: "share of the image that stays visible",
        },
        MethodParameter { name: "grid", default: Setting::Count(14), summary: "cells of the mask's side" },
        MethodParameter {
            name: "fill",
            default: Setting::Choice(&["blur", "zero", "mean", "uniform"]),
            summary: "b, what shows elsewhere: the image blurred, zero, each channel's mean, or noise",
        },
    ],
    work: Work::Passes(prepare),
};

/// Momentum of the gradient ascent.
const MOMENTUM: f64 = 0.9;
/// Learning rate of the gradient ascent.
const RATE: f64 = 0.02;
/// λ at the first and the last step.
const AREA_WEIGHT: [f64; 2] = [1.0, 20.0];

#[derive(Debug)]
struct ExtremalPerturbation {
    /// Program that returns score and gradient.
    program: TargetProgram,
    masks: GridMasks,
    size: [usize; 2],
    steps: usize,
    area: f64,
}

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let [_, h, w] = context.image_shape();
    Ok(Box::new(ExtremalPerturbation {
        program: context.evidence_program(|f| Ok(vec![f.target()?, f.input_gradient(&DefaultRules)?]))?,
        masks: GridMasks::new(context)?,
        size: [h, w],
        steps: context.chosen.count("steps")?,
        area: context.chosen.number_between("area", 0.0, 1.0)?,
    }))
}

impl ExtremalPerturbation {
    /// Returns ∂y/∂m for each cell of the mask.
    fn slope(&self, input: &PassInput<'_>, cover: &[f32], cells: &[f32]) -> Result<Vec<f64>, MethodError> {
        let mut image = input.pixels.to_vec();
        self.masks.apply(&mut image, cover, cells);
        let gradient = self.program.run(&image, 1, input)?.swap_remove(1);
        let area = self.size[0] * self.size[1];
        let mut by_pixel = vec![0.0; area];
        let changes = input.pixels.iter().zip(cover).map(|(x, b)| x - b);
        for (i, (g, change)) in gradient.iter().zip(changes).enumerate() {
            by_pixel[i % area] += g * change;
        }
        Ok(self.masks.gather(&by_pixel))
    }

    /// Returns the difference of each cell from its target by rank: 1 for the highest cells, as many as fill the
    /// requested area, and 0 for the others.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn excess(&self, cells: &[f32]) -> Vec<f64> {
        let mut order: Vec<usize> = (0..cells.len()).collect();
        order.sort_by(|&i, &j| cells[j].total_cmp(&cells[i]));
        let wanted = (self.area * cells.len() as f64).round() as usize;
        let mut excess: Vec<f64> = cells.iter().map(|&m| f64::from(m)).collect();
        order[..wanted].iter().for_each(|&i| excess[i] -= 1.0);
        excess
    }
}

impl MultiPass for ExtremalPerturbation {
    fn shape(&self) -> Vec<usize> {
        self.size.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount { forward: 2, back: self.steps }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let cover = self.masks.cover(input.pixels);
        let score = |image: &[f32]| -> Result<f64, MethodError> {
            Ok(f64::from(self.program.run(image, 1, input)?[0][0]))
        };
        let whole = score(input.pixels)?;
        let range = (whole - score(&cover)?).abs();
        let n = self.masks.cells();
        // If covering the image does not change its score up to rounding, no part of it preserves the score.
        if range <= 1e-6 * whole.abs() {
            return Ok(vec![0.0; self.size[0] * self.size[1]]);
        }
        let (mut cells, mut moves) = (vec![0.5f32; n], vec![0.0; n]);
        for step in 0..self.steps {
            let slope = self.slope(input, &cover, &cells)?;
            let progress = step as f64 / self.steps as f64;
            let weight = AREA_WEIGHT[0] * libm::pow(AREA_WEIGHT[1] / AREA_WEIGHT[0], progress);
            let excess = self.excess(&cells);
            for (i, cell) in cells.iter_mut().enumerate() {
                let ascent = n as f64 * slope[i] / range - 2.0 * weight * excess[i];
                moves[i] = MOMENTUM * moves[i] + RATE * ascent;
                *cell = (f64::from(*cell) + moves[i]).clamp(0.0, 1.0) as f32;
            }
        }
        Ok(self.masks.enlarged(&cells))
    }
}
