//! RISE: randomized input sampling.

use std::sync::Arc;

use crate::bilinear::Enlargement;
use crate::method::multi_pass::TargetProgram;
use crate::method::parts::blend;
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};
use crate::random::Key;

/// Registry entry. The paper's map is 1/(p·N) · Σ yᵢMᵢ, the mean score where a position is visible (`--compat`).
/// Wherever nothing matters it is as large as the mean score of all masks, so the picture has one colour all over,
/// or none if scores are negative. Subtracting the mean score where the position is hidden leaves the effect of
/// showing the position. Cells are H/grid rounded up, as in the authors' code: rounding down as in the paper leaves
/// a border that no mask reaches.
pub(super) static RISE: Method = Method {
    id: "rise",
    title: "RISE",
    summary: "how much higher the score is where random masks leave a place visible than where they hide it",
    formula: "Σᵢ yᵢMᵢ ÷ Σᵢ Mᵢ − Σᵢ yᵢ(1 − Mᵢ) ÷ Σᵢ (1 − Mᵢ), yᵢ = y(x ⊙ Mᵢ), with Mᵢ random grids of probability p, enlarged bilinearly and shifted",
    paper: "Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC",
    cost: "as many forward passes as masks (4000)",
    sanity: "not tested, as far as we know; it sees the model only through its scores",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some("noisy: the error falls with the root of the number of masks"),
    parameters: &[
        MethodParameter { name: "masks", default: Setting::Count(4000), summary: "random masks" },
        MethodParameter { name: "grid", default: Setting::Count(7), summary: "cells of a mask's side" },
        MethodParameter {
            name: "probability",
            default: Setting::Number(0.5),
            summary: "of a cell to be left visible",
        },
    ],
    work: Work::Passes(prepare),
};

#[derive(Debug)]
struct Rise {
    score: Arc<TargetProgram>,
    size: [usize; 2],
    masks: usize,
    grid: usize,
    probability: f64,
    key: Key,
    /// True if the map is made exactly as published.
    published: bool,
}

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let [_, h, w] = context.image_shape();
    let too_fine = || format!("the image is only {h} pixels high and {w} wide");
    let grid = context.count_that_fits("grid", |grid| grid <= h.min(w), h.min(w), too_fine)?;
    let probability = context.chosen.number("probability")?;
    if probability <= 0.0 || probability >= 1.0 {
        return Err(context.chosen.wrong("probability", "expected a number between 0 and 1, both excluded"));
    }
    Ok(Box::new(Rise {
        score: context.score_program()?,
        size: [h, w],
        masks: context.chosen.count("masks")?,
        grid,
        probability,
        key: context.key(),
        published: context.published,
    }))
}

impl Rise {
    /// Returns mask `number`, regenerated on demand so that memory does not grow with the number of masks.
    fn mask(&self, number: usize) -> Vec<f32> {
        let mut rng = self.key.at(number as u64).rng();
        let cells: Vec<f32> = (0..self.grid * self.grid)
            .map(|_| if f64::from(rng.uniform()) < self.probability { 1.0 } else { 0.0 })
            .collect();
        let cell = self.size.map(|side| side.div_ceil(self.grid));
        let corner = cell.map(|side| rng.below(side));
        let full = cell.map(|side| side * (self.grid + 1));
        Enlargement::window([self.grid, self.grid], full, corner, self.size).apply(&cells)
    }
}

impl MultiPass for Rise {
    fn shape(&self) -> Vec<usize> {
        self.size.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.masks)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let black = vec![0.0; input.pixels.len()];
        let make = |number: usize, image: &mut [f32]| blend(image, &black, &self.mask(number));
        // For each position, the sum of the masks' visibility, and that of the scores weighted by it.
        let mut places = vec![[0.0; 2]; self.size[0] * self.size[1]];
        let mut total = 0.0;
        self.score.stream(input, self.masks, &make, &mut |number, _, outputs| {
            let score = f64::from(outputs[0][0]);
            total += score;
            places.iter_mut().zip(self.mask(number)).for_each(|([shown, sum], m)| {
                *shown += f64::from(m);
                *sum += score * f64::from(m);
            });
        })?;
        let masks = self.masks as f64;
        let value = |[shown, sum]: [f64; 2]| {
            if self.published {
                return sum / (self.probability * masks);
            }
            let hidden = masks - shown;
            if shown > 0.0 && hidden > 0.0 { sum / shown - (total - sum) / hidden } else { 0.0 }
        };
        Ok(places.into_iter().map(|place| value(place) as f32).collect())
    }
}
