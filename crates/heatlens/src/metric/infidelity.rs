//! Infidelity (Yeh et al. 2019): error of the map's prediction of the score drop when a part of the image is
//! removed.

use crate::method::MapKind;
use crate::metric::perturbation::{
    Experiment, ImageContext, MetricInput, MetricPlan, PerturbFn, Perturbation, ResponseKind,
};
use crate::metric::{Aspect, Better, Metric};

/// The image with a square of a quarter of its height and width set to 0, at a random position.
static SQUARES: Experiment = Experiment {
    id: "infidelity",
    response: ResponseKind::Scores,
    passes: |plan: &MetricPlan| plan.squares,
    change: Perturbation::Image(without_square),
};

const PAPER: &str = "Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, NeurIPS";

/// Registry entry.
pub(super) static INFIDELITY: Metric = Metric {
    id: "infidelity",
    title: "Infidelity",
    summary: "how badly the map predicts the drop of the score when a square is set to 0; for maps in the \
        score's units",
    formula: "mean of (IᵀΦ − (f(x) − f(x − I)))², I the pixels of a square, f the score explained",
    paper: PAPER,
    better: Better::Lower,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&SQUARES],
    needs_mask: false,
    // The units of a layer map are not score per pixel.
    read: |input| match input.view.attribution.method.kind {
        MapKind::Input => infidelity(&pairs(input)?, 1.0),
        MapKind::Layer | MapKind::Concepts => None,
    },
};

/// Registry entry.
pub(super) static INFIDELITY_SCALED: Metric = Metric {
    id: "infidelity_scaled",
    title: "Infidelity (best scale)",
    summary: "as infidelity, with the map multiplied by the factor that predicts best",
    formula: "mean of (β IᵀΦ − (f(x) − f(x − I)))², β = mean of IᵀΦ (f(x) − f(x − I)) ÷ mean of (IᵀΦ)²",
    paper: "Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, NeurIPS, in its authors' program; Captum's normalize=True",
    better: Better::Lower,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&SQUARES],
    needs_mask: false,
    read: |input| {
        let pairs = pairs(input)?;
        infidelity(&pairs, best_scale(&pairs))
    },
};

fn without_square<'a>(context: &'a ImageContext<'a>) -> PerturbFn<'a> {
    Box::new(move |i, image| {
        let (h, w) = (context.shape[1], context.shape[2]);
        for plane in image.chunks_exact_mut((h * w).max(1)) {
            square(context, i).for_each(|at| plane[at] = 0.0);
        }
    })
}

/// Returns the pixels of square `i`.
fn square(context: &ImageContext<'_>, i: usize) -> impl Iterator<Item = usize> + use<> {
    let [_, h, w] = context.shape;
    let (rows, columns) = (h.div_ceil(4), w.div_ceil(4));
    let mut rng = context.key.at(2).at(i as u64).rng();
    let (top, left) = (rng.below(h - rows + 1), rng.below(w - columns + 1));
    (top..top + rows).flat_map(move |y| (left..left + columns).map(move |x| y * w + x))
}

/// Returns, for every square, the predicted and the actual drop of the score.
fn pairs(input: &MetricInput<'_>) -> Option<Vec<(f64, f64)>> {
    let responses = input.of(&SQUARES)?;
    let (view, context) = (&input.view, &input.view.context);
    let area = context.area().max(1);
    // One plane for all channels, or one per channel.
    let planes: Vec<&[f32]> = match view.attribution.method.kind {
        MapKind::Input => view.attribution.values.chunks_exact(area).collect(),
        MapKind::Layer | MapKind::Concepts => vec![&view.upsampled.signed; context.shape[0]],
    };
    let told = |i: usize| {
        let of = |(plane, pixels): (&&[f32], &[f32])| {
            square(context, i).map(|at| f64::from(plane[at]) * f64::from(pixels[at])).sum::<f64>()
        };
        planes.iter().zip(context.pixels.chunks_exact(area)).map(of).sum::<f64>()
    };
    let fall = |i: usize| input.unchanged.score - responses.scores[i].score;
    Some((0..responses.scores.len()).map(|i| (told(i), fall(i))).collect())
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
    use crate::metric::perturbation::{Confidence, Responses};
    use crate::metric::tests::read;

    #[test]
    fn a_map_that_adds_up_is_faithful_at_its_best_scale() {
        let (plan, values) = (MetricPlan::quick(), (0u8..64).map(f32::from).collect::<Vec<f32>>());
        let pixels = vec![1.0; 64];
        let key = crate::random::Key::new(0, crate::random::Use::Audit);
        let context = ImageContext { pixels: &pixels, shape: [1, 8, 8], mask: None, plan: &plan, key };
        // The score is a third of the sum of the map over the remaining pixels.
        let score = |i| -square(&context, i).map(|at| f64::from(values[at])).sum::<f64>() / 3.0;
        let scores = (0..plan.squares).map(|i| Confidence { score: score(i), probability: 0.5 }).collect();
        let given = [(&SQUARES, Responses { scores, maps: Vec::new() })];
        assert!(read(&INFIDELITY_SCALED, [8, 8], &values, None, 0.5, &given).unwrap() < 1e-9);
        assert!(read(&INFIDELITY_SCALED, [8, 8], &[1.0; 64], None, 0.5, &given).unwrap() > 1.0);
        assert_eq!(read(&INFIDELITY, [8, 8], &values, None, 0.5, &given), None, "a layer's map");
        assert!((infidelity(&[(1.0, 3.0), (2.0, 2.0)], 1.0).unwrap() - 2.0).abs() < 1e-12);
    }
}
