//! 95 % confidence interval of a ROC-AUC: DeLong, DeLong and Clarke-Pearson 1988, for one curve; if their variance
//! is 0, as for an AUC of exactly 1, Newcombe 2006.

use crate::stats::MeanEstimate;
use crate::stats::classifier::binary_auc;
use crate::stats::interval::NORMAL_975;

/// Returns the AUC with its 95 % interval, clamped to 0 and 1. Perfectly ranked images have a sample variance of 0,
/// even if there are few; their interval is Newcombe's. `None` if a class has fewer than two images or a score is
/// NaN.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn auc_interval(scores: &[f32], positive: &[bool]) -> Option<MeanEstimate> {
    let mean = binary_auc(scores, positive)?;
    let pick = |wanted: bool| {
        let chosen = scores.iter().zip(positive).filter(|(_, p)| **p == wanted).map(|(s, _)| *s);
        let mut chosen: Vec<f32> = chosen.collect();
        chosen.sort_by(f32::total_cmp);
        chosen
    };
    let (ones, zeros) = (pick(true), pick(false));
    // Share of the other class that a score lies above, with ties counting half.
    let above = |score: f32, others: &[f32]| {
        let below = others.partition_point(|&o| o < score) as f64;
        let up_to = others.partition_point(|&o| o <= score) as f64;
        f64::midpoint(below, up_to) / others.len() as f64
    };
    let of_ones = variance(ones.iter().map(|&s| above(s, &zeros)))?;
    let of_zeros = variance(zeros.iter().map(|&s| 1.0 - above(s, &ones)))?;
    let error = (of_ones / ones.len() as f64 + of_zeros / zeros.len() as f64).sqrt();
    if error == 0.0 {
        return Some(without_variance(mean, ones.len(), zeros.len()));
    }
    let at = |side: f64| (mean + side * NORMAL_975 * error).clamp(0.0, 1.0);
    Some(MeanEstimate { mean, low: at(-1.0), high: at(1.0), images: scores.len() })
}

/// Returns Newcombe's method 5 interval (Statistics in Medicine 25, 2006, 559–573): the AUCs θ within 1.96 standard
/// errors of the estimate, with the variance for θ, θ(1 − θ)(1 + N(1 − θ)/(2 − θ) + Nθ/(1 + θ))/(mn) with N = (m +
/// n)/2 − 1.
#[allow(clippy::cast_precision_loss)]
fn without_variance(mean: f64, ones: usize, zeros: usize) -> MeanEstimate {
    let (m, n) = (ones as f64, zeros as f64);
    let pairs = f64::midpoint(m, n) - 1.0;
    let far = |theta: f64| {
        let shape = 1.0 + pairs * (1.0 - theta) / (2.0 - theta) + pairs * theta / (1.0 + theta);
        (mean - theta).abs() > NORMAL_975 * (theta * (1.0 - theta) * shape / (m * n)).sqrt()
    };
    // Bisection from the estimate to the end of the scale: beyond the bound, every θ is rejected.
    let bound = |end: f64| {
        let (mut near, mut out) = (mean, end);
        for _ in 0..60 {
            let middle = f64::midpoint(near, out);
            if far(middle) { out = middle } else { near = middle }
        }
        near
    };
    MeanEstimate { mean, low: bound(0.0), high: bound(1.0), images: ones + zeros }
}

#[allow(clippy::cast_precision_loss)]
fn variance(values: impl ExactSizeIterator<Item = f64> + Clone) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.clone().sum::<f64>() / n;
    (n > 1.0).then(|| values.map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0))
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
    fn ten_perfect_images_leave_much_open() {
        let scores: Vec<f32> = (0..10u8).map(f32::from).collect();
        let positive: Vec<bool> = (0..10).map(|i| i >= 5).collect();
        let found = auc_interval(&scores, &positive).unwrap();
        // Newcombe's equation at the bound: 1 − θ = 1.96 · √(θ(1 − θ)(1 + 4(1 − θ)/(2 − θ) + 4θ/(1 + θ))/25).
        let theta = found.low;
        let shape = 1.0 + 4.0 * (1.0 - theta) / (2.0 - theta) + 4.0 * theta / (1.0 + theta);
        assert!((1.0 - theta - NORMAL_975 * (theta * (1.0 - theta) * shape / 25.0).sqrt()).abs() < 1e-9);
        assert!((0.6..0.7).contains(&theta) && found.high == 1.0, "{found:?}");
        let upside_down: Vec<bool> = positive.iter().map(|p| !p).collect();
        let found = auc_interval(&scores, &upside_down).unwrap();
        assert!(found.low == 0.0 && (found.high + theta - 1.0).abs() < 1e-9, "{found:?}");
    }
}
