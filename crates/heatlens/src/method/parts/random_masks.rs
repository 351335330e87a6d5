//! Random masks that hide parts of an image, and the map of the scores that the masked images get; used by RISE and
//! D-RISE.

use rayon::prelude::*;

use crate::bilinear::Enlargement;
use crate::method::multi_pass::{TOGETHER, TargetProgram};
use crate::method::parts::blend;
use crate::method::{MethodError, MethodParameter, PassContext, PassInput, Setting};
use crate::random::Key;

/// Grids of cells that are visible with a certain probability, enlarged bilinearly and shifted by less than a cell. Cells
/// are H/grid rounded up, as in the code of RISE's authors: rounding down as in the paper leaves a border that no mask
/// reaches.
#[derive(Debug)]
pub(in crate::method) struct RandomMasks {
    size: [usize; 2],
    count: usize,
    grid: usize,
    probability: f64,
    key: Key,
    /// True if the map is made exactly as published.
    published: bool,
}

impl RandomMasks {
    /// Returns the parameter for the number of masks.
    pub(in crate::method) const fn masks(default: usize) -> MethodParameter {
        MethodParameter { name: "masks", default: Setting::Count(default), summary: "random masks" }
    }

    /// Returns the parameter for the number of cells.
    pub(in crate::method) const fn grid(default: usize) -> MethodParameter {
        MethodParameter { name: "grid", default: Setting::Count(default), summary: "cells of a mask's side" }
    }

    /// The parameter for the share of visible cells.
    pub(in crate::method) const PROBABILITY: MethodParameter = MethodParameter {
        name: "probability",
        default: Setting::Number(0.5),
        summary: "of a cell to be left visible",
    };

    /// Creates the masks from the settings `masks`, `grid` and `probability`.
    pub(in crate::method) fn new(context: &PassContext<'_>) -> Result<Self, MethodError> {
        let [_, h, w] = context.image_shape();
        let too_fine = || format!("the image is only {h} pixels high and {w} wide");
        let grid = context.count_that_fits("grid", |grid| grid <= h.min(w), h.min(w), too_fine)?;
        let probability = context.chosen.number("probability")?;
        if probability <= 0.0 || probability >= 1.0 {
            return Err(context
                .chosen
                .wrong("probability", "expected a number between 0 and 1, both excluded"));
        }
        Ok(Self {
            size: [h, w],
            count: context.chosen.count("masks")?,
            grid,
            probability,
            key: context.key(),
            published: context.published,
        })
    }

    /// Returns the height and width of a mask.
    pub(in crate::method) fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Returns the number of masks.
    pub(in crate::method) fn count(&self) -> usize {
        self.count
    }

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

    /// Returns for each position the sum of the masks' visibility, and that of the scores weighted by it. The masks are added
    /// in order at every position.
    fn sums(&self, scores: &[f64]) -> Vec<[f64; 2]> {
        /// Positions per task.
        const TASK: usize = 1 << 12;
        let mut places = vec![[0.0; 2]; self.size[0] * self.size[1]];
        for (batch, scores) in scores.chunks(TOGETHER).enumerate() {
            let numbers = batch * TOGETHER..batch * TOGETHER + scores.len();
            let masks: Vec<Vec<f32>> = numbers.into_par_iter().map(|number| self.mask(number)).collect();
            places.par_chunks_mut(TASK).enumerate().for_each(|(task, places)| {
                for (mask, score) in masks.iter().zip(scores) {
                    for ([shown, sum], m) in places.iter_mut().zip(&mask[task * TASK..]) {
                        *shown += f64::from(*m);
                        *sum += score * f64::from(*m);
                    }
                }
            });
        }
        places
    }

    /// Runs `program` on the masked images, black where they are hidden, and returns the map of the scores that `score`
    /// reads from its outputs: the mean score where a position is visible, minus that where it is hidden. As published, the
    /// sum of the masks weighted by their scores, divided by the expected sum of the masks.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(in crate::method) fn map(
        &self,
        program: &TargetProgram,
        input: &PassInput<'_>,
        score: &dyn Fn(&[&[f32]]) -> f64,
    ) -> Result<Vec<f32>, MethodError> {
        let black = vec![0.0; input.pixels.len()];
        let make = |number: usize, image: &mut [f32]| blend(image, &black, &self.mask(number));
        let mut scores = Vec::with_capacity(self.count.min(1 << 20));
        program.stream(input, self.count, &make, &mut |_, _, outputs| scores.push(score(outputs)))?;
        let places = self.sums(&scores);
        let total: f64 = scores.iter().sum();
        let masks = self.count as f64;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Use;

    #[test]
    fn sums_in_parallel_are_those_of_a_loop() {
        // Several batches and tasks, the last ones partial.
        let (size, count) = ([70, 90], 2 * TOGETHER + 5);
        let key = Key::new(3, Use::Explain);
        let masks = RandomMasks { size, count, grid: 7, probability: 0.5, key, published: false };
        let scores: Vec<f64> = (0..count).map(|i| f64::from(i as u32).sin()).collect();
        let mut expected = vec![[0.0; 2]; size[0] * size[1]];
        for (number, score) in scores.iter().enumerate() {
            for ([shown, sum], m) in expected.iter_mut().zip(masks.mask(number)) {
                *shown += f64::from(m);
                *sum += score * f64::from(m);
            }
        }
        assert_eq!(masks.sums(&scores), expected);
    }
}
