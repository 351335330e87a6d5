//! RISE: randomized input sampling.

use std::sync::Arc;

use crate::method::multi_pass::TargetProgram;
use crate::method::parts::RandomMasks;
use crate::method::{MapKind, Method, MethodError, MultiPass, PassContext, PassCount, PassInput, Work};

/// Registry entry. The paper's map is 1/(p·N) · Σ yᵢMᵢ, the mean score where a position is visible (`--compat`).
/// Wherever nothing matters it is as large as the mean score of all masks, so the picture has one colour all over,
/// or none if scores are negative. Subtracting the mean score where the position is hidden leaves the effect of
/// showing the position.
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
    parameters: &[RandomMasks::masks(4000), RandomMasks::grid(7), RandomMasks::PROBABILITY],
    work: Work::Passes(prepare),
};

#[derive(Debug)]
struct Rise {
    score: Arc<TargetProgram>,
    masks: RandomMasks,
}

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let masks = RandomMasks::new(context)?;
    Ok(Box::new(Rise { score: context.score_program()?, masks }))
}

impl MultiPass for Rise {
    fn shape(&self) -> Vec<usize> {
        self.masks.size().to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.masks.count())
    }

    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        self.masks.map(&self.score, input, &|outputs| f64::from(outputs[0][0]))
    }
}
