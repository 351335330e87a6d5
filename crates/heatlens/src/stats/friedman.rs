//! Friedman's test (1937) by permutation: do several methods, measured on the same images, differ at all?

use crate::random::Key;

/// Number of random permutations; the smallest p-value is 1 / (`DRAWS` + 1).
const DRAWS: usize = 999;

/// Returns the probability that the rank sums of the methods differ at least as much as observed, if the methods
/// are interchangeable on every image. Each block holds the values of all methods on one image and is permuted
/// within itself. Ties share their mean rank; values within `tolerance` times the block's largest magnitude of the
/// smallest of their group are ties, because such differences do not matter. Blocks with a NaN are left out. `None`
/// without at least two methods and one block.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn p_value(blocks: &[Vec<f64>], tolerance: f64, key: Key) -> Option<f64> {
    let methods = blocks.first()?.len();
    let mut ranked: Vec<Vec<u64>> =
        blocks.iter().filter_map(|block| doubled_ranks(block, tolerance)).collect();
    if methods < 2 || ranked.is_empty() {
        return None;
    }
    let found = spread(&ranked, methods);
    let mut rng = key.rng();
    let as_far = (0..DRAWS)
        .filter(|_| {
            for block in &mut ranked {
                for last in (1..block.len()).rev() {
                    block.swap(last, rng.below(last + 1));
                }
            }
            spread(&ranked, methods) >= found
        })
        .count();
    Some((as_far + 1) as f64 / (DRAWS + 1) as f64)
}

/// Returns the sum of the squared rank sums, the only part of Friedman's statistic that changes under permutation.
fn spread(ranked: &[Vec<u64>], methods: usize) -> u128 {
    let sum = |m: usize| ranked.iter().map(|block| u128::from(block[m])).sum::<u128>();
    (0..methods).map(|m| sum(m).pow(2)).sum()
}

fn doubled_ranks(block: &[f64], tolerance: f64) -> Option<Vec<u64>> {
    if block.iter().any(|v| v.is_nan()) {
        return None;
    }
    let tolerance = tolerance * block.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    let mut order: Vec<usize> = (0..block.len()).collect();
    order.sort_by(|&a, &b| block[a].total_cmp(&block[b]));
    let mut ranks = vec![0; block.len()];
    let mut start = 0;
    while start < order.len() {
        let first = block[order[start]];
        let tied = order[start..].iter().take_while(|&&i| block[i] - first <= tolerance).count().max(1);
        for &i in &order[start..start + tied] {
            ranks[i] = (2 * start + tied + 1) as u64;
        }
        start += tied;
    }
    Some(ranks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Use;

    fn key() -> Key {
        Key::new(1, Use::Audit)
    }

    #[test]
    fn ranks_are_shared_within_the_tolerance() {
        assert_eq!(doubled_ranks(&[0.3, 0.1, 0.3, 0.9], 0.0), Some(vec![5, 2, 5, 8]));
        assert_eq!(doubled_ranks(&[0.300, 0.301, 0.9], 0.01), Some(vec![3, 3, 6]));
        assert_eq!(
            doubled_ranks(&[3e-7, 3e-7 + 1e-8, 9e-7], 0.001),
            Some(vec![2, 4, 6]),
            "whatever the scale"
        );
        assert_eq!(doubled_ranks(&[f64::NAN, 1.0], 0.0), None);
    }

    #[test]
    fn one_that_is_always_best_is_found() {
        let blocks: Vec<Vec<f64>> =
            (0..10).map(|i| vec![0.9, f64::from(i % 3) / 9.0, f64::from(i % 2) / 9.0]).collect();
        assert!(p_value(&blocks, 0.0, key()).unwrap() < 0.005);
        // The same differences do not count if they are within the tolerance.
        assert_eq!(p_value(&blocks, 1.0, key()), Some(1.0));
        assert_eq!(p_value(&[], 0.0, key()), None);
        assert_eq!(p_value(&[vec![1.0]], 0.0, key()), None);
    }

    #[test]
    fn noise_is_found_different_about_as_often_as_asked_for() {
        let found = (0..200u64).filter(|&run| {
            let mut rng = Key::new(2, Use::Audit).at(run).rng();
            let blocks: Vec<Vec<f64>> = (0..12).map(|_| (0..5).map(|_| rng.normal()).collect()).collect();
            p_value(&blocks, 0.0, key().at(run)).unwrap() <= 0.05
        });
        // 10 expected, plus or minus three standard errors.
        let found = found.count();
        assert!((1..=19).contains(&found), "{found}");
    }
}
