//! Thresholds that turn heat into a mask.

use std::fmt;
use std::str::FromStr;

use crate::render::Map;

/// Number of histogram bins of Otsu's method.
const LEVELS: usize = 256;

/// Threshold for hot pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// Share of the largest value (0.2 in Zhou et al. 2016, 0.15 in Selvaraju et al. 2017).
    OfMax(f32),
    /// Threshold that minimizes the variance within the two groups (Otsu 1979).
    Otsu,
    /// Quantile of the map's values.
    Quantile(f32),
}

impl Default for Threshold {
    fn default() -> Self {
        Self::OfMax(0.2)
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = |text: &str, low: bool| {
            let found = text.parse::<f32>().ok().filter(|v| (0.0..=1.0).contains(v) && (low || *v > 0.0));
            found.ok_or_else(|| {
                format!("found {text:?}, expected a fraction of the largest value such as 0.2, otsu, or a quantile such as q0.9")
            })
        };
        match (text, text.strip_prefix('q')) {
            ("otsu", _) => Ok(Self::Otsu),
            (_, Some(quantile)) => share(quantile, true).map(Self::Quantile),
            _ => share(text, false).map(Self::OfMax),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfMax(share) => write!(f, "{share}"),
            Self::Otsu => f.write_str("otsu"),
            Self::Quantile(share) => write!(f, "q{share}"),
        }
    }
}

impl Threshold {
    /// Returns the smallest value of `heat` that is hot; `None` if there is no heat. Pixels without heat are never
    /// hot.
    #[must_use]
    pub fn of(self, heat: &Map) -> Option<f32> {
        let values = heat.values();
        let largest = values.iter().copied().fold(0.0, f32::max);
        if largest <= 0.0 {
            return None;
        }
        let value = match self {
            Self::OfMax(share) => share * largest,
            Self::Otsu => otsu(values, largest),
            Self::Quantile(share) => quantile(values, share),
        };
        Some(value.max(f32::MIN_POSITIVE))
    }
}

/// Returns the value at rank ⌈share · n⌉, counted from 0 and at most the last.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
fn quantile(values: &[f32], share: f32) -> f32 {
    let mut sorted = values.to_vec();
    // A share such as 0.6 is slightly larger in 32 bits.
    let rank = ((f64::from(share) * sorted.len() as f64 - 1e-6).ceil() as usize).min(sorted.len() - 1);
    *sorted.select_nth_unstable_by(rank, f32::total_cmp).1
}

/// Returns the lower end of the upper group.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a level from 0 to 255")]
fn otsu(values: &[f32], largest: f32) -> f32 {
    let level = |v: f32| ((v.max(0.0) / largest * LEVELS as f32) as usize).min(LEVELS - 1);
    let mut counts = [0.0_f64; LEVELS];
    values.iter().for_each(|&v| counts[level(v)] += 1.0);
    let moment = |levels: std::ops::Range<usize>| levels.map(|l| l as f64 * counts[l]).sum::<f64>();
    let (total, all) = (values.len() as f64, moment(0..LEVELS));
    let (mut below, mut sum, mut best) = (0.0, 0.0, (0.0, 1));
    for cut in 1..LEVELS {
        below += counts[cut - 1];
        sum += (cut - 1) as f64 * counts[cut - 1];
        let above = total - below;
        if below == 0.0 || above == 0.0 {
            continue;
        }
        let between = below * above * (sum / below - (all - sum) / above).powi(2);
        if between > best.0 {
            best = (between, cut);
        }
    }
    best.1 as f32 / LEVELS as f32 * largest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: &[f32]) -> Map {
        Map::new(1, values.len(), values.to_vec()).unwrap()
    }

    #[test]
    fn words_become_thresholds_and_nonsense_an_error() {
        assert_eq!("0.15".parse(), Ok(Threshold::OfMax(0.15)));
        assert_eq!("otsu".parse(), Ok(Threshold::Otsu));
        assert_eq!("q0.9".parse(), Ok(Threshold::Quantile(0.9)));
        for wrong in ["", "0", "-1", "1.5", "nan", "q2", "median", "q"] {
            assert!(wrong.parse::<Threshold>().unwrap_err().contains("expected"), "{wrong}");
        }
        assert_eq!("q0.25".parse::<Threshold>().unwrap().to_string(), "q0.25");
    }

    #[test]
    fn values_by_hand() {
        let heat = map(&[0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(Threshold::OfMax(0.5).of(&heat), Some(2.0));
        assert_eq!(Threshold::Quantile(0.6).of(&heat), Some(3.0));
        assert_eq!(Threshold::Quantile(1.0).of(&heat), Some(4.0));
        assert_eq!(Threshold::OfMax(0.5).of(&map(&[0.0, 0.0])), None);
        // Every value is at least the smallest, but pixels without heat are not hot.
        assert!(Threshold::Quantile(0.0).of(&heat).unwrap() > 0.0);
    }

    #[test]
    fn otsu_parts_two_groups() {
        let heat = map(&[0.1, 0.12, 0.11, 0.1, 0.9, 1.0, 0.95]);
        let cut = Threshold::Otsu.of(&heat).unwrap();
        assert!(cut > 0.12 && cut <= 0.9, "{cut}");
        // Equal values do not form groups: all of them are hot.
        assert!(Threshold::Otsu.of(&map(&[2.0, 2.0])).unwrap() <= 2.0);
    }
}
