//! Low-discrepancy points in many dimensions.

use crate::random::Key;

/// Digits below this size are lost in `f32`.
const FINEST: f64 = 1e-8;

/// Returns `count` points with `dimensions` coordinates each, in 0…1: the Halton sequence with a random permutation
/// of each digit (Owen 2017, A randomized Halton algorithm in R). Coordinate d is the radical inverse of the
/// point's index in the d-th prime; the permutations remove the correlation between coordinates of large primes.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
pub(in crate::method) fn halton(count: usize, dimensions: usize, key: Key) -> Vec<f32> {
    let mut points = vec![0.0; count * dimensions];
    for (dimension, prime) in primes(dimensions).into_iter().enumerate() {
        let mut place = 1.0 / prime as f64;
        let mut divisor = 1;
        for digit in 0.. {
            let mut order: Vec<usize> = (0..prime).collect();
            key.at(dimension as u64).at(digit).rng().shuffle(&mut order);
            for number in 0..count {
                points[number * dimensions + dimension] += order[number / divisor % prime] as f64 * place;
            }
            place /= prime as f64;
            divisor = divisor.saturating_mul(prime);
            if place < FINEST {
                break;
            }
        }
    }
    points.into_iter().map(|p: f64| (p as f32).min(1.0 - f32::EPSILON)).collect()
}

/// Returns the first `count` primes.
fn primes(count: usize) -> Vec<usize> {
    let mut primes: Vec<usize> = Vec::with_capacity(count);
    let mut candidate = 2;
    while primes.len() < count {
        if primes.iter().take_while(|p| *p * *p <= candidate).all(|p| candidate % p != 0) {
            primes.push(candidate);
        }
        candidate += 1;
    }
    primes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Use;

    #[test]
    fn each_coordinate_is_spread_evenly_and_no_two_go_together() {
        assert_eq!(primes(8), [2, 3, 5, 7, 11, 13, 17, 19]);
        let (count, dimensions) = (1000, 60);
        let points = halton(count, dimensions, Key::new(1, Use::Explain));
        assert!(points.iter().all(|p| (0.0..1.0).contains(p)));
        let column = |d: usize| points.iter().skip(d).step_by(dimensions).map(|p| f64::from(*p) - 0.5);
        for d in 0..dimensions {
            // Independent draws would be off by 0.009 on average.
            let mean = column(d).sum::<f64>() / count as f64;
            assert!(mean.abs() < 0.02, "{d}: {mean}");
            let correlation = column(d).zip(column((d + 1) % dimensions)).map(|(a, b)| 12.0 * a * b);
            let correlation = correlation.sum::<f64>() / count as f64;
            assert!(correlation.abs() < 0.15, "{d}: {correlation}");
        }
        // In base 2, every quarter has exactly its share.
        for quarter in 0..4u8 {
            let inside = column(0).filter(|p| ((p + 0.5) * 4.0) as u8 == quarter).count();
            assert_eq!(inside, 250);
        }
    }
}
