//! Fisher's exact test of a 2×2 table.

use crate::stats::binomial;

/// Returns the one-sided p-value of Fisher's exact test: the probability that at least `a` of the `a + c` marked
/// images are among `n` of `n + m`.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn fisher(a: usize, n: usize, c: usize, m: usize) -> f64 {
    let marked = a + c;
    let ln = |n: usize, k: usize| binomial::ln_binomial(n as f64, k as f64);
    let all = ln(n + m, marked);
    let probability = |k: usize| (ln(n, k) + ln(m, marked - k) - all).exp();
    (a..=marked.min(n)).filter(|k| marked - k <= m).map(probability).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fisher_by_hand() {
        // Fisher's tea: 3 of 4 and 1 of 4: (16 + 1) / 70. 4 of 4 and none: 1 / 70.
        assert!((fisher(3, 4, 1, 4) - 17.0 / 70.0).abs() < 1e-12);
        assert!((fisher(4, 4, 0, 4) - 1.0 / 70.0).abs() < 1e-12);
        assert!((fisher(0, 4, 0, 4) - 1.0).abs() < 1e-12);
    }
}
