//! Sparseness (Chalasani et al. 2020): concentration of the heat on few pixels, as the Gini index.

use crate::metric::{Aspect, Better, Metric};

/// Registry entry.
pub(super) static SPARSENESS: Metric = Metric {
    id: "sparseness",
    title: "Sparseness",
    summary: "how unevenly the heat is spread: 0 all pixels alike, towards 1 all on one",
    formula: "the Gini index Σᵢ (2i − n − 1) heat₍ᵢ₎ ÷ (n Σ heat), heat₍ᵢ₎ rising",
    paper: "Chalasani et al. 2020, Concise Explanations of Neural Networks using Adversarial Training, ICML, §3",
    better: Better::Neither,
    aspect: Aspect::Simplicity,
    experiments: &[],
    needs_mask: false,
    read: |input| gini(&input.view.upsampled.heat),
};

#[allow(clippy::cast_precision_loss)]
fn gini(heat: &[f32]) -> Option<f64> {
    let mut sorted = heat.to_vec();
    sorted.sort_by(f32::total_cmp);
    let (n, total) = (sorted.len() as f64, sorted.iter().map(|&v| f64::from(v)).sum::<f64>());
    let term = |(i, &v): (usize, &f32)| (2.0 * (i + 1) as f64 - n - 1.0) * f64::from(v);
    (total > 0.0).then(|| sorted.iter().enumerate().map(term).sum::<f64>() / (n * total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::read;

    #[test]
    fn gini_by_hand() {
        let of = |map: &[f32]| read(&SPARSENESS, [1, 4], map, None, 0.5, &[]);
        assert_eq!(of(&[1.0; 4]), Some(0.0));
        assert_eq!(of(&[0.0, 0.0, 5.0, 0.0]), Some(0.75));
        // 1, 2, 3, 4: (−3 − 2 + 3 + 12) ÷ 40.
        assert!((of(&[4.0, 2.0, 1.0, 3.0]).unwrap() - 0.25).abs() < 1e-12);
        assert_eq!(of(&[-1.0; 4]), None);
    }
}
