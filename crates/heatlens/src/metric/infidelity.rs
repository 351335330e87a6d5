//! Infidelity (Yeh et al. 2019): error of the map's prediction of the score drop when a part of the image is
//! removed.

use crate::method::MapKind;
use crate::metric::experiment::{Asks, Change, Experiment, Make, Outcome, Plan, Scene};
use crate::metric::{Aspect, Better, Metric};

/// The image with a square of a quarter of its height and width set to 0, at a random position.
static SQUARES: Experiment = Experiment {
    id: "infidelity",
    asks: Asks::Scores,
    passes: |plan: &Plan| plan.squares,
    change: Change::Image(without_square),
};

const PAPER: &str = "Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, NeurIPS";

/// Registry entry.
pub(super) static INFIDELITY: Metric = Metric {
    id: "infidelity",
    title: "Infidelity",
    summary: "how wrong the map foretells the fall of the score when a square is set to 0; for maps in the score's units",
    formula: "mean of (IᵀΦ − (f(x) − f(x − I)))², I the pixels of a square, f the score explained",
    paper: PAPER,
    better: Better::Lower,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&SQUARES],
    needs_mask: false,
    // The units of a layer map are not score per pixel.
    read: |outcome| match outcome.view.attribution.method.kind {
        MapKind::Input => infidelity(&pairs(outcome)?, 1.0),
        MapKind::Layer | MapKind::Concepts => None,
    },
};

/// Registry entry.
pub(super) static INFIDELITY_SCALED: Metric = Metric {
    id: "infidelity_scaled",
    title: "Infidelity (best scale)",
    summary: "as infidelity, with the map multiplied by whatever number makes it foretell best",
    formula: "mean of (β IᵀΦ − (f(x) − f(x − I)))², β = mean of IᵀΦ (f(x) − f(x − I)) ÷ mean of (IᵀΦ)²",
    paper: "Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, NeurIPS, in its authors' program; Captum's normalize=True",
    better: Better::Lower,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&SQUARES],
    needs_mask: false,
    read: |outcome| {
        let pairs = pairs(outcome)?;
        infidelity(&pairs, best_scale(&pairs))
    },
};

fn without_square<'a>(scene: &'a Scene<'a>) -> Make<'a> {
    Box::new(move |i, image| {
        let (h, w) = (scene.shape[1], scene.shape[2]);
        for plane in image.chunks_exact_mut((h * w).max(1)) {
            square(scene, i).for_each(|at| plane[at] = 0.0);
        }
    })
}

/// Returns the pixels of square `i`.
fn square(scene: &Scene<'_>, i: usize) -> impl Iterator<Item = usize> + use<> {
    let [_, h, w] = scene.shape;
    let (rows, columns) = (h.div_ceil(4), w.div_ceil(4));
    let mut rng = scene.key.at(2).at(i as u64).rng();
    let (top, left) = (rng.below(h - rows + 1), rng.below(w - columns + 1));
    (top..top + rows).flat_map(move |y| (left..left + columns).map(move |x| y * w + x))
}

/// Returns, for every square, the predicted and the actual drop of the score.
fn pairs(outcome: &Outcome<'_>) -> Option<Vec<(f64, f64)>> {
    let answers = outcome.of(&SQUARES)?;
    let (view, scene) = (&outcome.view, &outcome.view.scene);
    let area = scene.area().max(1);
    // One plane for all channels, or one per channel.
    let planes: Vec<&[f32]> = match view.attribution.method.kind {
        MapKind::Input => view.attribution.values.chunks_exact(area).collect(),
        MapKind::Layer | MapKind::Concepts => vec![&view.surface.signed; scene.shape[0]],
    };
    let told = |i: usize| {
        let of = |(plane, pixels): (&&[f32], &[f32])| {
            square(scene, i).map(|at| f64::from(plane[at]) * f64::from(pixels[at])).sum::<f64>()
        };
        planes.iter().zip(scene.pixels.chunks_exact(area)).map(of).sum::<f64>()
    };
    let fall = |i: usize| outcome.unchanged.score - answers.scores[i].score;
    Some((0..answers.scores.len()).map(|i| (told(i), fall(i))).collect())
}

/// Returns the factor for the predictions that minimizes the squared error.
pub(super) fn best_scale(pairs: &[(f64, f64)]) -> f64 {
    let square: f64 = pairs.iter().map(|(told, _)| told * told).sum();
    let product: f64 = pairs.iter().map(|(told, fall)| told * fall).sum();
    if square > 0.0 { product / square } else { 0.0 }
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn infidelity(pairs: &[(f64, f64)], scale: f64) -> Option<f64> {
    let sum: f64 = pairs.iter().map(|(told, fall)| (scale * told - fall).powi(2)).sum();
    (!pairs.is_empty()).then(|| sum / pairs.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::experiment::{Answers, Confidence};
    use crate::metric::tests::read;

    #[test]
    fn a_map_that_adds_up_is_faithful_at_its_best_scale() {
        let (plan, values) = (Plan::quick(), (0u8..64).map(f32::from).collect::<Vec<f32>>());
        let pixels = vec![1.0; 64];
        let key = crate::random::Key::new(0, crate::random::Use::Audit);
        let scene = Scene { pixels: &pixels, shape: [1, 8, 8], mask: None, plan: &plan, key };
        // The score is a third of the sum of the map over the remaining pixels.
        let score = |i| -square(&scene, i).map(|at| f64::from(values[at])).sum::<f64>() / 3.0;
        let scores = (0..plan.squares).map(|i| Confidence { score: score(i), probability: 0.5 }).collect();
        let given = [(&SQUARES, Answers { scores, maps: Vec::new() })];
        assert!(read(&INFIDELITY_SCALED, [8, 8], &values, None, 0.5, &given).unwrap() < 1e-9);
        assert!(read(&INFIDELITY_SCALED, [8, 8], &[1.0; 64], None, 0.5, &given).unwrap() > 1.0);
        assert_eq!(read(&INFIDELITY, [8, 8], &values, None, 0.5, &given), None, "a layer's map");
        assert!((infidelity(&[(1.0, 3.0), (2.0, 2.0)], 1.0).unwrap() - 2.0).abs() < 1e-12);
    }
}
