//! One-sided rank test of Mann and Whitney (1947): do the scores of one group lie above those of another?

use libm::erfc;

use crate::stats::classifier::doubled_ranks;

/// Maximum of the number of samples times the size of the smaller group for the exact distribution.
const EXACT_LIMIT: usize = 1000;

/// Returns the probability that the positives rank at least as high as observed, if scores do not depend on the
/// group. Small samples are tested exactly, by counting all ways to choose the group among the (tied) ranks; large
/// ones by the normal approximation, with tie-corrected variance and continuity correction. `None` if a group is
/// empty or a score is NaN.
#[must_use]
pub fn p_value(scores: &[f32], positive: &[bool]) -> Option<f64> {
    let ranks = doubled_ranks(scores)?;
    let n1 = positive.iter().filter(|&&p| p).count();
    let smaller = n1.min(positive.len() - n1);
    if smaller == 0 || ranks.len() != positive.len() {
        return None;
    }
    let sum: u64 = ranks.iter().zip(positive).filter(|(_, p)| **p).map(|(r, _)| r).sum();
    if ranks.len().saturating_mul(smaller) > EXACT_LIMIT {
        return Some(normal(&ranks, n1, sum));
    }
    if n1 == smaller {
        return Some(counted(&ranks, smaller, |s| s >= sum));
    }
    // Equivalently, the ranks of the negatives must be at least as low.
    let rest = ranks.iter().sum::<u64>() - sum;
    Some(counted(&ranks, smaller, |s| s <= rest))
}

/// Returns the share of all ways to choose `size` of the ranks whose sum is `extreme`.
#[allow(clippy::cast_possible_truncation)]
fn counted(ranks: &[u64], size: usize, extreme: impl Fn(u64) -> bool) -> f64 {
    let highest = ranks.iter().max().map_or(0, |&r| r as usize) * size;
    // ways[j][s]: number of choices of j ranks, among those processed so far, with sum s.
    let mut ways = vec![vec![0.0f64; highest + 1]; size + 1];
    ways[0][0] = 1.0;
    for &rank in ranks {
        for j in (1..=size).rev() {
            let (fewer, more) = ways.split_at_mut(j);
            let shifted = more[0].iter_mut().skip(rank as usize);
            shifted.zip(&fewer[j - 1]).for_each(|(w, f)| *w += f);
        }
    }
    let all: f64 = ways[size].iter().sum();
    let found: f64 = (0u64..).zip(&ways[size]).filter(|(s, _)| extreme(*s)).map(|(_, w)| w).sum();
    found / all
}

#[allow(clippy::cast_precision_loss)]
fn normal(ranks: &[u64], n1: usize, doubled_sum: u64) -> f64 {
    let (n, n1) = (ranks.len() as f64, n1 as f64);
    let n0 = n - n1;
    let mean = n1 * (n + 1.0) / 2.0;
    // The variance of the ranks includes the correction for ties.
    let variance = ranks.iter().map(|&r| (r as f64 / 2.0 - (n + 1.0) / 2.0).powi(2)).sum::<f64>() / n;
    let spread = (n0 * n1 / (n - 1.0) * variance).sqrt();
    if spread == 0.0 {
        return 1.0;
    }
    // Half the step between possible sums: ½ without ties, more with ties.
    let half_step = common_step(ranks) as f64 / 4.0;
    erfc((doubled_sum as f64 / 2.0 - mean - half_step) / spread / std::f64::consts::SQRT_2) / 2.0
}

/// Returns the greatest common divisor of all differences of ranks.
fn common_step(ranks: &[u64]) -> u64 {
    let first = ranks.first().copied().unwrap_or_default();
    let divide = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    ranks.iter().fold(0, |step, rank| divide(step, rank.abs_diff(first)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Key, Use};

    #[test]
    fn small_samples_by_hand() {
        // One of the 6 ways to choose 2 of 4 ranks is as high as {3, 4}, and 2 are as high as {2, 4}; of the 4 ways
        // to choose 3 ranks, 2 are as high as {1, 3, 4}.
        let p = |scores: &[f32], positive: &[bool]| p_value(scores, positive).unwrap();
        assert_eq!(p(&[1.0, 2.0, 3.0, 4.0], &[false, false, true, true]), 1.0 / 6.0);
        assert_eq!(p(&[1.0, 2.0, 3.0, 4.0], &[false, true, false, true]), 2.0 / 6.0);
        assert_eq!(p(&[1.0, 2.0, 3.0, 4.0], &[true, false, true, true]), 0.5);
        // Ranks 1, 3, 3, 3: the sum 3 + 3 occurs in 3 of 6 ways.
        assert_eq!(p(&[0.0, 1.0, 1.0, 1.0], &[false, true, true, false]), 0.5);
        assert_eq!(p(&[1.0; 4], &[false, false, true, true]), 1.0);
        assert_eq!(p_value(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(p_value(&[1.0, f32::NAN], &[true, false]), None);
    }

    #[test]
    fn ties_widen_the_step_between_sums() {
        assert_eq!(common_step(&doubled_ranks(&[5.0, 1.0, 3.0]).unwrap()), 2);
        assert_eq!(common_step(&[6, 30, 18]), 12);
        assert_eq!(common_step(&[7, 7]), 0);
        // Binary scores: 49 of 100 are 1, 27 of them among the 52 positives. Exact (counted): 0.34.
        let scores: Vec<f32> =
            (0..100).map(|i| if i < 27 || (52..74).contains(&i) { 1.0 } else { -1.0 }).collect();
        let positive: Vec<bool> = (0..100).map(|i| i < 52).collect();
        let ranks = doubled_ranks(&scores).unwrap();
        let sum: u64 = ranks.iter().zip(&positive).filter(|(_, p)| **p).map(|(r, _)| r).sum();
        let rest = ranks.iter().sum::<u64>() - sum;
        let exact = counted(&ranks, 48, |s| s <= rest);
        let approximate = p_value(&scores, &positive).unwrap();
        assert!((exact - approximate).abs() < 0.003, "{exact} {approximate}");
    }

    #[test]
    fn counting_and_the_normal_curve_agree_in_between() {
        for case in 0..20 {
            let mut rng = Key::new(9, Use::Shuffle).at(case).rng();
            #[allow(clippy::cast_precision_loss)]
            let scores: Vec<f32> = (0..80).map(|_| rng.below(30) as f32).collect();
            let positive: Vec<bool> = (0..80).map(|i| i % 5 < 2).collect();
            let ranks = doubled_ranks(&scores).unwrap();
            let sum = ranks.iter().zip(&positive).filter(|(_, p)| **p).map(|(r, _)| r).sum();
            let (exact, approximate) = (counted(&ranks, 32, |s| s >= sum), normal(&ranks, 32, sum));
            assert!((exact - approximate).abs() < 0.003, "{exact} {approximate}");
            let flipped: Vec<bool> = positive.iter().map(|p| !p).collect();
            let negated: Vec<f32> = scores.iter().map(|s| -s).collect();
            // Swapping the groups and the order gives the same p-value, for either computation.
            for n in [40, 80] {
                let one_way = p_value(&scores[..n], &positive[..n]).unwrap();
                let other_way = p_value(&negated[..n], &flipped[..n]).unwrap();
                assert!((one_way - other_way).abs() < 1e-12, "{one_way} {other_way}");
            }
        }
        let constant = vec![1.0; 1000];
        let half: Vec<bool> = (0..1000).map(|i| i < 500).collect();
        assert_eq!(p_value(&constant, &half), Some(1.0));
    }
}
