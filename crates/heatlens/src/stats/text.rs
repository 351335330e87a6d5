//! Formatting of shares and p-values.

use crate::stats::MeanEstimate;

/// Formats a share in per cent, with one decimal unless it is a whole number: `98.3 %`, `50 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{} %", points(share))
}

/// Formats the 95 % interval of a share: `96.4–99.2 %`; `None` if it is not known.
#[must_use]
pub fn percent_interval(estimate: MeanEstimate) -> Option<String> {
    let known = estimate.low.is_finite() && estimate.high.is_finite();
    known.then(|| format!("{}–{} %", points(estimate.low), points(estimate.high)))
}

/// Formats a number with its 95 % interval, if known: `0.998 (95 % CI 0.995–1.000)`.
#[must_use]
pub fn with_interval(estimate: MeanEstimate) -> String {
    let MeanEstimate { mean, low, high, .. } = estimate;
    if low.is_finite() && high.is_finite() {
        format!("{mean:.3} (95 % CI {low:.3}–{high:.3})")
    } else {
        format!("{mean:.3}")
    }
}

/// Formats a p-value with an appropriate number of digits: `0.46`, `0.0079`, `4e-10`.
#[must_use]
pub fn p_value(p: f64) -> String {
    match p {
        p if p >= 0.1 => format!("{p:.2}"),
        p if p >= 0.001 => format!("{p:.4}"),
        p if p < 1e-300 => "1e-300".to_owned(),
        p => format!("{p:.0e}"),
    }
}

fn points(share: f64) -> String {
    let value = 100.0 * share;
    if (value - value.round()).abs() < 1e-9 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_probabilities() {
        assert_eq!([0.0, 0.5, 0.9826, 1.0].map(percent), ["0 %", "50 %", "98.3 %", "100 %"]);
        assert_eq!([0.456, 0.0079, 4.2e-10, 0.0].map(p_value), ["0.46", "0.0079", "4e-10", "1e-300"]);
        let of = |mean, low, high| MeanEstimate { mean, low, high, images: 9 };
        assert_eq!(percent_interval(of(0.9, 0.5, 1.0)).as_deref(), Some("50–100 %"));
        assert_eq!(percent_interval(of(0.9, f64::NAN, f64::NAN)), None);
        assert_eq!(with_interval(of(0.9, 0.5, 1.0)), "0.900 (95 % CI 0.500–1.000)");
        assert_eq!(with_interval(of(0.9, f64::NAN, f64::NAN)), "0.900");
    }
}
