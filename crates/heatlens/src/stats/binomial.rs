//! Exact upper tail of the binomial distribution.

use libm::lgamma;

/// Returns P(X ≥ `k`) for X ~ Binomial(`n`, `p`), the one-sided p-value of `k` successes in `n` trials.
///
/// The first term is computed with log-gamma, the others by the ratio of consecutive terms, starting at `k` and
/// moving away from the mean, where terms only decrease. The relative error is below 1e-8 for n up to a million (a
/// continued fraction needs about √n steps there, more than libraries allow).
#[must_use]
pub fn upper_tail(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 || p >= 1.0 {
        return if k <= n { 1.0 } else { 0.0 };
    }
    if k > n || p <= 0.0 {
        return 0.0;
    }
    #[allow(clippy::cast_precision_loss)]
    let above_mean = k as f64 > n as f64 * p;
    let tail = if above_mean { sum_from(k, n, p) } else { 1.0 - sum_from(n - k + 1, n, 1.0 - p) };
    tail.clamp(0.0, 1.0)
}

/// Returns Σ P(X = i) for i from `k`, which is above the mean, to `n`.
#[allow(clippy::cast_precision_loss)]
fn sum_from(k: u64, n: u64, p: f64) -> f64 {
    let odds = p / (1.0 - p);
    let (mut sum, mut term) = (0.0, 1.0);
    for i in k..=n {
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
        term *= (n - i) as f64 / (i + 1) as f64 * odds;
    }
    let (n, k) = (n as f64, k as f64);
    sum * (ln_binomial(n, k) + k * p.ln() + (n - k) * (-p).ln_1p()).exp()
}

/// Returns ln (n choose k).
#[must_use]
pub fn ln_binomial(n: f64, k: f64) -> f64 {
    lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_exact_fractions() {
        // Python: float(sum(comb(n, i) * p**i * (1 - p)**(n - i) for i in range(k, n + 1))) with p = Fraction(a,
        // b); the last three rows term by term with mpmath at 40 digits.
        for (k, n, p, expected) in CASES {
            let found = upper_tail(k, n, p);
            assert!((found - expected).abs() <= 1e-8 * expected, "{k} {n} {p}: {found} {expected}");
        }
    }

    #[allow(clippy::excessive_precision)]
    const CASES: [(u64, u64, f64, f64); 11] = [
        (53, 100, 0.52, 0.4607004953884852),
        (1, 1, 0.5, 0.5),
        (70, 100, 0.5, 3.925069822796835e-05),
        (3, 10, 0.3, 0.6172172136),
        (99, 100, 0.9, 0.000321688053194115),
        (520, 1000, 0.5, 0.10872414660207047),
        (30, 100, 0.52, 0.9999973614882511),
        (5300, 10000, 0.52, 0.023183367580021565),
        (501500, 1000000, 0.5, 0.0013543276530298784),
        (9100, 100000, 0.09, 0.13585040887458344),
        (900000, 1000000, 0.8999, 0.3702754194703236),
    ];

    #[test]
    fn the_ends_are_certain() {
        assert_eq!(upper_tail(0, 10, 0.3), 1.0);
        assert_eq!(upper_tail(11, 10, 0.3), 0.0);
        assert_eq!(upper_tail(10, 10, 1.0), 1.0);
        assert_eq!(upper_tail(1, 10, 0.0), 0.0);
        assert_eq!(upper_tail(0, 0, 0.5), 1.0);
    }

    #[test]
    fn both_sides_of_the_mean_meet() {
        for k in 1..=200 {
            let (here, next) = (upper_tail(k, 200, 0.4), upper_tail(k + 1, 200, 0.4));
            assert!(here >= next && (0.0..=1.0).contains(&here), "{k}");
            assert!(here > next || !(50..110).contains(&k), "{k}");
        }
    }
}
