//! Affine map that fits a list of cells selected from others or computed from them.

/// Maximum deviation, in cells, of an exact fit.
const EXACT: f64 = 1e-4;
/// Maximum deviation, in cells, of an accepted fit.
const LOOSEST: f64 = 1.0;

/// Source cells of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pick {
    /// Weighted mean position.
    pub centre: f64,
    /// First cell with a non-zero weight.
    pub first: usize,
    /// Last cell with a non-zero weight.
    pub last: usize,
}

impl Pick {
    /// Returns a single cell.
    pub fn one(cell: usize) -> Self {
        Self { centre: cell as f64, first: cell, last: cell }
    }

    /// Returns the weighted sum of cells, with weights that sum to one.
    pub fn weighted(weights: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let first = weights.clone().position(|w| w != 0.0)?;
        let last = weights.clone().enumerate().filter(|(_, w)| *w != 0.0).last()?.0;
        let centre = weights.enumerate().map(|(i, w)| i as f64 * w).sum();
        Some(Self { centre, first, last })
    }
}

/// Affine map: cell i is computed from cells around `scale`·i + `shift`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Number of source cells between two cells.
    pub scale: f64,
    /// Position of cell 0 among the source cells.
    pub shift: f64,
    /// First and last source cell for i = 0.
    pub between: [f64; 2],
}

impl Fit {
    /// Fits the map of `picks` from an axis of `from` cells. The outer quarters are ignored, since resizing is clamped
    /// at the border and reflection reverses the direction.
    pub fn new(picks: &[Pick], from: usize) -> Option<Self> {
        let n = picks.len();
        if n < 2 || from < 2 {
            return None;
        }
        let quarter = if n < 4 { 0 } else { n / 4 };
        let middle = quarter..n - quarter;
        let scatter = |scale: f64| {
            let rest = middle.clone().map(|i| picks[i].centre - scale * i as f64);
            let (low, high) = ends(rest.clone());
            (high - low, rest.sum::<f64>() / middle.len() as f64)
        };
        // A straight line through the middle is exact for everything but nearest-neighbour resizing.
        let mut best = slope(picks, &middle);
        if scatter(best).0 > EXACT {
            let others = [from as f64 / n as f64, (from - 1) as f64 / (n - 1) as f64, best.round()];
            best = others.into_iter().fold(best, |a, b| if scatter(b).0 < scatter(a).0 { b } else { a });
        }
        let (scattered, shift) = scatter(best);
        if scattered > LOOSEST || best == 0.0 {
            return None;
        }
        let relative = |i: usize, cell: usize| cell as f64 - best * i as f64;
        let (first, _) = ends(middle.clone().map(|i| relative(i, picks[i].first)));
        let (_, last) = ends(middle.map(|i| relative(i, picks[i].last)));
        Some(Self { scale: best, shift, between: [first, last] })
    }
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

/// Returns the slope of the least-squares line.
fn slope(picks: &[Pick], middle: &std::ops::Range<usize>) -> f64 {
    let n = middle.len() as f64;
    let (x, y) = middle.clone().fold((0.0, 0.0), |(x, y), i| (x + i as f64 / n, y + picks[i].centre / n));
    let (above, below) = middle.clone().fold((0.0, 0.0), |(above, below), i| {
        let d = i as f64 - x;
        (above + d * (picks[i].centre - y), below + d * d)
    });
    let slope = if below > 0.0 { above / below } else { 0.0 };
    // Remove rounding errors from integer slopes.
    if (slope - slope.round()).abs() < 1e-9 { slope.round() } else { slope }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(cells: &[usize], from: usize) -> Option<(f64, f64)> {
        let picks: Vec<Pick> = cells.iter().map(|&i| Pick::one(i)).collect();
        Fit::new(&picks, from).map(|fit| (fit.scale, fit.shift))
    }

    #[test]
    fn lists_of_cells() {
        assert_eq!(picked(&[3, 4, 5, 6, 7], 12), Some((1.0, 3.0)), "a crop");
        assert_eq!(picked(&[5, 4, 3, 2, 1, 0], 6), Some((-1.0, 5.0)), "flipped");
        assert_eq!(picked(&[2, 1, 0, 1, 2, 3, 4, 5, 4, 3], 6), Some((1.0, -2.0)), "padded by reflection");
        assert_eq!(picked(&[0, 0, 1, 1, 2, 2, 3, 3], 4), Some((0.5, -0.25)), "nearest neighbours");
        assert_eq!(picked(&[0, 2, 4, 6], 8), Some((2.0, 0.0)));
        assert_eq!(picked(&[0, 4, 1, 5, 2, 6, 3, 7], 8), None, "shuffled");
        assert_eq!(picked(&[4, 5, 6, 7, 0, 1, 2, 3], 8), None, "rolled by a half");
        assert_eq!(picked(&[2, 2, 2], 8), None);
        assert_eq!(picked(&[1], 8), None);
    }

    #[test]
    fn sums_of_cells() {
        let rows = |to: usize| {
            let matrix = crate::bilinear::matrix(5, to);
            let picks: Vec<Pick> =
                matrix.chunks(5).map(|r| Pick::weighted(r.iter().map(|&w| f64::from(w))).unwrap()).collect();
            Fit::new(&picks, 5).unwrap()
        };
        for to in [7, 10, 20] {
            let (fit, scale) = (rows(to), 5.0 / to as f64);
            let expected = 0.5 * scale - 0.5;
            assert!((fit.scale - scale).abs() < 1e-6 && (fit.shift - expected).abs() < 1e-6, "{to}: {fit:?}");
        }
        let corners = [0.0, 2.0 / 3.0, 4.0 / 3.0, 2.0].map(|centre| Pick { centre, first: 0, last: 2 });
        let fit = Fit::new(&corners, 3).unwrap();
        assert!((fit.scale - 2.0 / 3.0).abs() < 1e-9 && fit.shift.abs() < 1e-9, "{fit:?}");
        assert_eq!(
            Pick::weighted([0.0, 0.25, 0.75].into_iter()),
            Some(Pick { centre: 1.75, first: 1, last: 2 })
        );
    }
}
