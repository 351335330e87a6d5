//! Guided integrated gradients.

use std::sync::Arc;

use crate::method::multi_pass::TargetProgram;
use crate::method::parts::baseline;
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};
use crate::random::Key;

/// Registry entry.
pub(super) static GUIDED_IG: Method = Method {
    id: "guided_ig",
    title: "Guided integrated gradients",
    summary: "integrated gradients on a path that moves first the pixels to which the score reacts least: less speckle",
    formula: "Σ over steps of ∂y/∂x · Δx; a step moves the pixels of smallest |∂y/∂x|, none further than distance from the straight path; the sum comes near y(x) − y(b)",
    paper: "Kapishnikov et al. 2021, Guided Integrated Gradients: An Adaptive Path Method for Removing Noise, CVPR",
    cost: "as many forward and backward passes as steps (200), one after the other",
    sanity: "not tested, as far as we know",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some(
        "pixels that equal the baseline get nothing: with zero, whatever is black, however much it matters",
    ),
    parameters: &[
        MethodParameter { name: "steps", default: Setting::Count(200), summary: "steps of the path" },
        MethodParameter {
            name: "fraction",
            default: Setting::Number(0.25),
            summary: "share of the pixels that move together",
        },
        MethodParameter {
            name: "distance",
            default: Setting::Number(0.02),
            summary: "how far a pixel may be ahead of or behind the straight path, as a share of its way",
        },
        MethodParameter {
            name: "baseline",
            default: Setting::Choice(&["zero", "mean", "blur", "uniform"]),
            summary: "the image without information",
        },
    ],
    work: Work::Passes(prepare),
};

#[derive(Debug)]
struct GuidedIg {
    gradient: Arc<TargetProgram>,
    shape: [usize; 3],
    steps: usize,
    fraction: f64,
    distance: f64,
    baseline: &'static str,
    key: Key,
}

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    Ok(Box::new(GuidedIg {
        gradient: context.gradient_program()?,
        shape: context.image_shape(),
        steps: context.chosen.count("steps")?,
        fraction: context.chosen.number_between("fraction", 0.0, 1.0)?,
        distance: context.chosen.number_between("distance", 0.0, 1.0)?,
        baseline: context.chosen.choice("baseline")?,
        key: context.key(),
    }))
}

impl GuidedIg {
    /// Moves the pixels until they have jointly covered the share `alpha` of the total distance. `at` is the share
    /// of its distance (`ways`) that each pixel has covered.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn step(&self, alpha: f64, gradient: &[f32], ways: &[f64], at: &mut [f64]) {
        let (behind, ahead) = ((alpha - self.distance).max(0.0), (alpha + self.distance).min(1.0));
        at.iter_mut().for_each(|a| *a = a.max(behind));
        let total: f64 = ways.iter().map(|way| way.abs()).sum();
        let covered: f64 = ways.iter().zip(at.iter()).map(|(way, a)| way.abs() * a).sum();
        let mut left = alpha * total - covered;
        let mut movable: Vec<usize> = (0..at.len()).filter(|&i| ways[i] != 0.0 && at[i] < ahead).collect();
        movable.sort_by(|&i, &j| gradient[i].abs().total_cmp(&gradient[j].abs()));
        let together = (self.fraction * (at.len() - 1) as f64) as usize + 1;
        let mut rest = movable.as_slice();
        while left > 0.0 && !rest.is_empty() {
            // Pixels of equal gradient move together, wherever they are.
            let size = |i: usize| gradient[rest[i]].abs();
            let more = (together..rest.len()).take_while(|&i| size(i) == size(together - 1)).count();
            let (group, others) = rest.split_at(rest.len().min(together + more));
            let room: f64 = group.iter().map(|&i| ways[i].abs() * (ahead - at[i])).sum();
            let share = (left / room).min(1.0);
            group.iter().for_each(|&i| at[i] += share * (ahead - at[i]));
            left -= room;
            rest = others;
        }
    }
}

impl MultiPass for GuidedIg {
    fn shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::back(self.steps)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let start = baseline(self.baseline, input.pixels, self.shape, self.key);
        let ways: Vec<f64> =
            input.pixels.iter().zip(&start).map(|(&x, &b)| f64::from(x) - f64::from(b)).collect();
        let (mut at, mut sums) = (vec![0.0; ways.len()], vec![0.0; ways.len()]);
        for step in 1..=self.steps {
            let image: Vec<f32> =
                (0..ways.len()).map(|i| (f64::from(start[i]) + at[i] * ways[i]) as f32).collect();
            let gradient = self.gradient.run(&image, 1, input)?.swap_remove(0);
            let before = at.clone();
            self.step(step as f64 / self.steps as f64, &gradient, &ways, &mut at);
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum += f64::from(gradient[i]) * (at[i] - before[i]) * ways[i];
            }
        }
        Ok(sums.into_iter().map(|sum| sum as f32).collect())
    }
}
