//! Complexity: spread of the heat.

use crate::metric::upsampled::min_max;
use crate::metric::{Aspect, Better, Metric};

/// Registry entry.
pub(super) static COMPLEXITY: Metric = Metric {
    id: "complexity",
    title: "Complexity",
    summary: "how many pixels the heat is spread over: its entropy",
    formula: "−Σ qᵢ ln qᵢ with qᵢ = heatᵢ ÷ Σ heat",
    paper: "Bhatt et al. 2020, Evaluating and Aggregating Feature-based Model Explanations, IJCAI, §3.3",
    better: Better::Neither,
    aspect: Aspect::Simplicity,
    experiments: &[],
    needs_mask: false,
    read: |input| entropy(&input.view.upsampled.heat),
};

/// Registry entry.
pub(super) static L1_COMPLEXITY: Metric = Metric {
    id: "l1_complexity",
    title: "Complexity (L1)",
    summary: "how much of the image is hot: the mean of the heat rescaled to 0…1",
    formula: "Σ minmax heat ÷ pixels",
    paper: "Poppi et al. 2021, Revisiting The Evaluation of Class Activation Mapping for Explainability, CVPR workshop, §3.2",
    better: Better::Neither,
    aspect: Aspect::Simplicity,
    experiments: &[],
    needs_mask: false,
    read: |input| Some(mean(&min_max(&input.view.upsampled.heat))),
};

fn entropy(heat: &[f32]) -> Option<f64> {
    let total: f64 = heat.iter().map(|&v| f64::from(v)).sum();
    let shares = heat.iter().map(|&v| f64::from(v) / total).filter(|q| *q > 0.0);
    (total > 0.0).then(|| -shares.map(|q| q * libm::log(q)).sum::<f64>())
}

#[allow(clippy::cast_precision_loss)]
fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::read;

    #[test]
    fn even_heat_is_complex_and_a_point_is_not() {
        let of = |metric, map: &[f32]| read(metric, [1, 4], map, None, 0.5, &[]);
        assert!((of(&COMPLEXITY, &[2.0; 4]).unwrap() - 4f64.ln()).abs() < 1e-12);
        assert_eq!(of(&COMPLEXITY, &[0.0, -1.0, 3.0, 0.0]), Some(0.0));
        assert_eq!(of(&COMPLEXITY, &[-1.0; 4]), None);
        assert_eq!(of(&L1_COMPLEXITY, &[0.0, 1.0, 2.0, 1.0]), Some(0.5));
    }
}
