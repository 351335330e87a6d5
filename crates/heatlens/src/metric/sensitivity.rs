//! Sensitivity (Yeh et al. 2019): change of the map under imperceptible changes of the image.

use crate::metric::perturbation::{
    Experiment, ImageContext, MetricInput, MetricPlan, PerturbFn, Perturbation, ResponseKind,
};
use crate::metric::{Aspect, Better, Metric};

/// Largest change of a pixel, as a share of the image's range.
const RADIUS: f32 = 0.02;

/// The image with uniform noise.
static NOISY: Experiment = Experiment {
    id: "sensitivity",
    response: ResponseKind::Maps,
    passes: |plan: &MetricPlan| plan.noisy,
    change: Perturbation::Image(noisy),
};

const PAPER: &str = "Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, NeurIPS";

/// Registry entry.
pub(super) static MAX_SENSITIVITY: Metric = Metric {
    id: "max_sensitivity",
    title: "Max-sensitivity",
    summary: "the largest change of the map under noise that hardly changes the image",
    formula: "max over δ of ‖Φ(x + δ) − Φ(x)‖ ÷ ‖Φ(x)‖, |δ| ≤ 0.02 of the image's range",
    paper: PAPER,
    better: Better::Lower,
    aspect: Aspect::Robustness,
    experiments: &[&NOISY],
    needs_mask: false,
    read: |input| changes(input)?.into_iter().reduce(f64::max),
};

/// Registry entry.
pub(super) static AVG_SENSITIVITY: Metric = Metric {
    id: "avg_sensitivity",
    title: "Average sensitivity",
    summary: "the mean change of the map under noise that hardly changes the image",
    formula: "mean over δ of ‖Φ(x + δ) − Φ(x)‖ ÷ ‖Φ(x)‖, |δ| ≤ 0.02 of the image's range",
    paper: PAPER,
    better: Better::Lower,
    aspect: Aspect::Robustness,
    experiments: &[&NOISY],
    needs_mask: false,
    read: |input| {
        let changes = changes(input)?;
        #[allow(clippy::cast_precision_loss)]
        let count = changes.len() as f64;
        (count > 0.0).then(|| changes.iter().sum::<f64>() / count)
    },
};

fn noisy<'a>(context: &'a ImageContext<'a>) -> PerturbFn<'a> {
    let radius = RADIUS * context.range();
    Box::new(move |i, image| {
        let mut rng = context.key.at(3).at(i as u64).rng();
        image.iter_mut().for_each(|pixel| *pixel += (2.0 * rng.uniform() - 1.0) * radius);
    })
}

/// Returns the relative distance of each noisy copy's map from the image's map (absolute for a map of zeros).
fn changes(input: &MetricInput<'_>) -> Option<Vec<f64>> {
    let own = &input.view.attribution.values;
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let size = norm(&mut own.iter().map(|&v| f64::from(v)));
    let size = if size > 0.0 { size } else { 1.0 };
    let maps = &input.of(&NOISY)?.maps;
    let change = |map: &crate::explain::Attribution| {
        norm(&mut map.values.iter().zip(own).map(|(a, b)| f64::from(*a) - f64::from(*b))) / size
    };
    Some(maps.iter().map(change).filter(|c| c.is_finite()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::perturbation::Responses;
    use crate::metric::tests::{attribution, read};

    #[test]
    fn changes_by_hand() {
        let maps = [[3.0, 4.0], [3.0, 9.0], [0.0, 0.0]].map(|m| attribution("grad_cam", &[1, 2], &m));
        let given = [(&NOISY, Responses { maps: maps.to_vec(), ..Responses::default() })];
        let found = |metric| read(metric, [1, 2], &[3.0, 4.0], None, 0.5, &given).unwrap();
        assert!((found(&MAX_SENSITIVITY) - 1.0).abs() < 1e-12);
        assert!((found(&AVG_SENSITIVITY) - 2.0 / 3.0).abs() < 1e-12);
    }
}
