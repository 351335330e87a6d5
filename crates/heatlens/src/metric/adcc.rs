//! ADCC (Poppi et al. 2021): average drop, coherency and complexity combined into one number.

use crate::metric::average_drop::{MASKED, MIN_MAX, relative_drop};
use crate::metric::coherency::{COHERENCY, EXPLAINED_AGAIN};
use crate::metric::complexity::L1_COMPLEXITY;
use crate::metric::{Aspect, Better, Metric};

/// Registry entry.
pub(super) static ADCC: Metric = Metric {
    id: "adcc",
    title: "ADCC",
    summary: "coherency, simplicity and preservation of the class in one number",
    formula: "3 ÷ (1 ÷ coherency + 1 ÷ (1 − l1_complexity) + 1 ÷ (1 − average_drop_min_max))",
    paper: "Poppi et al. 2021, Revisiting The Evaluation of Class Activation Mapping for Explainability, CVPR workshop, equation 5",
    better: Better::Higher,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&MASKED, &EXPLAINED_AGAIN],
    needs_mask: false,
    read: |input| {
        let parts = [
            (COHERENCY.read)(input)?,
            1.0 - (L1_COMPLEXITY.read)(input)?,
            1.0 - relative_drop(input, MIN_MAX)?,
        ];
        // Harmonic mean; 0 if one of the terms is 0.
        let whole = parts.iter().all(|p| *p > 0.0);
        Some(if whole { 3.0 / parts.iter().map(|p| p.recip()).sum::<f64>() } else { 0.0 })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::perturbation::Responses;
    use crate::metric::tests::{attribution, read, responses};

    #[test]
    fn the_harmonic_mean_by_hand() {
        let again =
            Responses { maps: vec![attribution("cam", &[1, 2], &[1.0, 0.0])], ..Responses::default() };
        let given = |masked: f64| [(&MASKED, responses(&[masked; 3])), (&EXPLAINED_AGAIN, again.clone())];
        // Coherency 1, complexity ½, drop ½.
        let found = read(&ADCC, [1, 2], &[1.0, 0.0], None, 0.8, &given(0.4)).unwrap();
        assert!((found - 3.0 / 5.0).abs() < 1e-9, "{found}");
        assert_eq!(read(&ADCC, [1, 2], &[1.0, 0.0], None, 0.8, &given(0.0)), Some(0.0));
    }
}
