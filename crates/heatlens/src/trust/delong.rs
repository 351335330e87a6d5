//! How far a ROC-AUC may lie from the truth (DeLong, DeLong and Clarke-Pearson 1988, for one curve).

use crate::train::metric::binary_auc;
use crate::trust::audit::Estimate;

/// Half the width of a 95 % interval in standard errors.
const NORMAL_975: f64 = 1.959_963_984_540_054;

/// The AUC with its 95 % interval, cut off at 0 and 1. `None` if a class has fewer than two images or a score is not
/// a number.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn auc_interval(scores: &[f32], positive: &[bool]) -> Option<Estimate> {
    let mean = binary_auc(scores, positive)?;
    let pick = |wanted: bool| {
        let chosen = scores.iter().zip(positive).filter(|(_, p)| **p == wanted).map(|(s, _)| *s);
        let mut chosen: Vec<f32> = chosen.collect();
        chosen.sort_by(f32::total_cmp);
        chosen
    };
    let (ones, zeros) = (pick(true), pick(false));
    // The share of the other class that a score lies above, ties counted half.
    let above = |score: f32, others: &[f32]| {
        let below = others.partition_point(|&o| o < score) as f64;
        let up_to = others.partition_point(|&o| o <= score) as f64;
        f64::midpoint(below, up_to) / others.len() as f64
    };
    let of_ones = variance(ones.iter().map(|&s| above(s, &zeros)))?;
    let of_zeros = variance(zeros.iter().map(|&s| 1.0 - above(s, &ones)))?;
    let error = (of_ones / ones.len() as f64 + of_zeros / zeros.len() as f64).sqrt();
    let at = |side: f64| (mean + side * NORMAL_975 * error).clamp(0.0, 1.0);
    Some(Estimate { mean, low: at(-1.0), high: at(1.0), images: scores.len() })
}

#[allow(clippy::cast_precision_loss)]
fn variance(values: impl ExactSizeIterator<Item = f64> + Clone) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.clone().sum::<f64>() / n;
    (n > 1.0).then(|| values.map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

/// The 95 % interval of a share of successes (Wilson 1927).
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn share_interval(successes: usize, trials: usize) -> Option<Estimate> {
    let (n, p) = (trials as f64, successes as f64 / trials as f64);
    let z = NORMAL_975;
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let at = |v: f64| v.clamp(0.0, 1.0);
    (trials > 0).then(|| Estimate {
        mean: p,
        low: at(centre - half),
        high: at(centre + half),
        images: trials,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_by_hand() {
        // Ones 3, 2, 0 and zeros 1, 0: placements 1, 1, ¼ and of the zeros ⅔, 5⁄6.
        let found = auc_interval(&[3.0, 2.0, 0.0, 1.0, 0.0], &[true, true, true, false, false]).unwrap();
        assert!((found.mean - 0.75).abs() < 1e-12);
        let (ones, zeros): (f64, f64) = (0.1875, 1.0 / 72.0);
        let error = (ones / 3.0 + zeros / 2.0).sqrt();
        assert!((found.low - (0.75 - NORMAL_975 * error)).abs() < 1e-12, "{found:?}");
        assert_eq!(found.high, 1.0);
        assert_eq!(auc_interval(&[1.0, 2.0, 0.0], &[true, false, false]), None, "one image has no variance");
    }

    #[test]
    fn shares_by_hand() {
        // statsmodels: proportion_confint(8, 10, method="wilson").
        let found = share_interval(8, 10).unwrap();
        assert!(
            (found.low - 0.490_162_472).abs() < 1e-8 && (found.high - 0.943_317_849).abs() < 1e-8,
            "{found:?}"
        );
        assert_eq!(share_interval(0, 0), None);
    }
}
