//! Similarity of maps: Pearson's and Spearman's correlation, and structural similarity.

use rayon::prelude::*;

/// Returns Pearson's correlation; `None` if one of the two is constant.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn pearson(a: &[f32], b: &[f32]) -> Option<f64> {
    correlation(a.iter().map(|&v| f64::from(v)), b.iter().map(|&v| f64::from(v)))
}

/// Returns Spearman's rank correlation, with mean ranks for ties; `None` if one of the two is constant.
#[must_use]
pub fn spearman(a: &[f32], b: &[f32]) -> Option<f64> {
    correlate_ranks(&ranks(a), &ranks(b))
}

/// Returns the correlation of ranks from [`ranks`].
#[must_use]
pub fn correlate_ranks(a: &[f64], b: &[f64]) -> Option<f64> {
    correlation(a.iter().copied(), b.iter().copied())
}

#[allow(clippy::cast_precision_loss)]
fn correlation(a: impl Iterator<Item = f64> + Clone, b: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let pairs = a.zip(b);
    let n = pairs.clone().count() as f64;
    let (sum_a, sum_b) = pairs.clone().fold((0.0, 0.0), |(s, t), (a, b)| (s + a, t + b));
    let (mean_a, mean_b) = (sum_a / n, sum_b / n);
    let [mut aa, mut bb, mut ab] = [0.0; 3];
    for (a, b) in pairs {
        let (a, b) = (a - mean_a, b - mean_b);
        (aa, bb, ab) = (aa + a * a, bb + b * b, ab + a * b);
    }
    let r = ab / (aa * bb).sqrt();
    r.is_finite().then_some(r.clamp(-1.0, 1.0))
}

/// Returns the rank of every value, starting at 1, with mean ranks for ties.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<u32> = (0u32..).take(values.len()).collect();
    order.par_sort_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|&a, &b| values[a as usize] == values[b as usize]) {
        let rank = before as f64 + (tied.len() + 1) as f64 / 2.0;
        tied.iter().for_each(|&i| ranks[i as usize] = rank);
        before += tied.len();
    }
    ranks
}

/// Returns the structural similarity (Wang et al. 2004) of two planes of shape `h w` whose values span `range`: the
/// mean over all windows of 7×7 pixels (smaller in smaller planes), with sample variances as in scikit-image.
/// `None` for planes smaller than 2×2.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn structural(a: &[f32], b: &[f32], [h, w]: [usize; 2], range: f64) -> Option<f64> {
    let side = 7.min(h).min(w);
    let side = if side % 2 == 0 { side.saturating_sub(1).max(side.min(2)) } else { side };
    if side < 2 || a.len() != h * w || b.len() != h * w {
        return None;
    }
    let sums = |value: &dyn Fn(usize) -> f64| Integral::new(h, w, value);
    let (x, y) = (|i: usize| f64::from(a[i]), |i: usize| f64::from(b[i]));
    let tables = [sums(&x), sums(&y), sums(&|i| x(i) * x(i)), sums(&|i| y(i) * y(i)), sums(&|i| x(i) * y(i))];
    let n = (side * side) as f64;
    let sample = n / (n - 1.0);
    let (c1, c2) = ((0.01 * range).powi(2), (0.03 * range).powi(2));
    let (mut total, mut windows) = (0.0, 0.0);
    for top in 0..=h - side {
        for left in 0..=w - side {
            let [x, y, xx, yy, xy] = [0, 1, 2, 3, 4].map(|t: usize| tables[t].window(top, left, side) / n);
            let (vx, vy, cov) = (sample * (xx - x * x), sample * (yy - y * y), sample * (xy - x * y));
            let top_part = (2.0 * x * y + c1) * (2.0 * cov + c2);
            total += top_part / ((x * x + y * y + c1) * (vx + vy + c2));
            windows += 1.0;
        }
    }
    let mean: f64 = total / windows;
    mean.is_finite().then_some(mean)
}

/// Summed-area table.
struct Integral {
    w: usize,
    sums: Vec<f64>,
}

impl Integral {
    fn new(h: usize, w: usize, value: &dyn Fn(usize) -> f64) -> Self {
        let mut sums = vec![0.0; (h + 1) * (w + 1)];
        for y in 0..h {
            let mut row = 0.0;
            for x in 0..w {
                row += value(y * w + x);
                sums[(y + 1) * (w + 1) + x + 1] = sums[y * (w + 1) + x + 1] + row;
            }
        }
        Self { w, sums }
    }

    fn window(&self, top: usize, left: usize, side: usize) -> f64 {
        let at = |y: usize, x: usize| self.sums[y * (self.w + 1) + x];
        at(top + side, left + side) - at(top, left + side) - at(top + side, left) + at(top, left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_by_hand() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 0.0]), [3.5, 2.0, 3.5, 1.0]);
        assert!((spearman(&[1.0, 2.0, 3.0], &[1.0, 10.0, 100.0]).unwrap() - 1.0).abs() < 1e-12);
        assert!((spearman(&[1.0, 2.0, 3.0, 4.0], &[4.0, 3.0, 2.0, 1.0]).unwrap() + 1.0).abs() < 1e-12);
        // scipy.stats.pearsonr([1, 2, 4], [1, 3, 3]).
        assert!((pearson(&[1.0, 2.0, 4.0], &[1.0, 3.0, 3.0]).unwrap() - 0.755_928_946).abs() < 1e-8);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
    }

    #[test]
    fn structure_is_1_for_the_same_and_falls() {
        let plane: Vec<f32> = (0..100).map(|i| ((i * 37) % 100) as f32 / 100.0).collect();
        let other: Vec<f32> = (0..100).map(|i| ((i * 61 + 7) % 100) as f32 / 100.0).collect();
        assert!((structural(&plane, &plane, [10, 10], 1.0).unwrap() - 1.0).abs() < 1e-12);
        assert!(structural(&plane, &other, [10, 10], 1.0).unwrap().abs() < 0.3);
        assert!(structural(&plane[..4], &plane[..4], [2, 2], 1.0).is_some());
        assert!(structural(&plane[..6], &plane[..6], [1, 6], 1.0).is_none());
    }
}
