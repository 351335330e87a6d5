//! ROC and precision-recall curves of one class against the rest, and the threshold with the best accuracy.

/// A point of either curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// False positive rate (ROC) or recall (precision-recall), 0 to 1.
    pub x: f64,
    /// True positive rate (ROC) or precision (precision-recall), 0 to 1.
    pub y: f64,
}

/// Both curves with their summary statistics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curves {
    /// ROC curve from (0, 0) to (1, 1).
    pub roc: Vec<Point>,
    /// Precision-recall curve by rising recall.
    pub precision_recall: Vec<Point>,
    /// Average precision: Σ (Rₙ − Rₙ₋₁) Pₙ, as in scikit-learn's `average_precision_score`.
    pub average_precision: f64,
    /// Share of positives, which is the precision of an uninformative classifier.
    pub prevalence: f64,
}

/// The decision threshold with the best accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestThreshold {
    /// Threshold; scores above it are positive. The midpoint of the widest gap among equally good ones.
    pub score: f64,
    /// Number of correct predictions at this threshold.
    pub right: usize,
    /// Number of predictions corrected, compared with a threshold of 0.
    pub gained: usize,
    /// Number of correct predictions lost, compared with a threshold of 0.
    pub lost: usize,
}

/// Returns the groups of equal scores in descending order: score, number of positives, number of negatives.
fn groups(scores: &[f32], positive: &[bool]) -> Option<Vec<(f32, usize, usize)>> {
    if scores.len() != positive.len() || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let mut pairs: Vec<(f32, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    // By value, so that −0 ties with 0.
    pairs.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(std::cmp::Ordering::Equal));
    let tied = pairs.chunk_by(|a, b| a.0 == b.0);
    Some(
        tied.map(|group| {
            let ones = group.iter().filter(|(_, p)| *p).count();
            (group[0].0, ones, group.len() - ones)
        })
        .collect(),
    )
}

/// Returns both curves. `None` if a class is absent or a score is NaN.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn curves(scores: &[f32], positive: &[bool]) -> Option<Curves> {
    let groups = groups(scores, positive)?;
    let ones: usize = groups.iter().map(|g| g.1).sum();
    let zeros = scores.len() - ones;
    if ones == 0 || zeros == 0 {
        return None;
    }
    let share = |part: usize, whole: usize| part as f64 / whole as f64;
    let mut found = Curves {
        roc: vec![Point { x: 0.0, y: 0.0 }],
        prevalence: share(ones, scores.len()),
        ..Curves::default()
    };
    let (mut true_positives, mut false_positives) = (0, 0);
    for (_, group_ones, group_zeros) in groups {
        let before = share(true_positives, ones);
        (true_positives, false_positives) = (true_positives + group_ones, false_positives + group_zeros);
        let (recall, precision) =
            (share(true_positives, ones), share(true_positives, true_positives + false_positives));
        found.average_precision += (recall - before) * precision;
        found.roc.push(Point { x: share(false_positives, zeros), y: recall });
        found.precision_recall.push(Point { x: recall, y: precision });
    }
    Some(found)
}

/// Returns the threshold between two distinct scores with the most correct predictions; of equally good ones, that
/// in the widest gap. `None` if all scores are equal or one is NaN.
#[must_use]
pub fn best_threshold(scores: &[f32], positive: &[bool]) -> Option<BestThreshold> {
    let groups = groups(scores, positive)?;
    let zeros = positive.iter().filter(|&&p| !p).count();
    let (mut ones_above, mut zeros_above) = (0, 0);
    let mut best: Option<(usize, f64, f64)> = None;
    for pair in groups.windows(2) {
        (ones_above, zeros_above) = (ones_above + pair[0].1, zeros_above + pair[0].2);
        let right = ones_above + zeros - zeros_above;
        let (high, low) = (f64::from(pair[0].0), f64::from(pair[1].0));
        if best.is_none_or(|(most, gap, _)| right > most || (right == most && high - low > gap)) {
            best = Some((right, high - low, f64::midpoint(high, low)));
        }
    }
    let (right, _, score) = best.filter(|b| b.2.is_finite())?;
    let answers = scores.iter().zip(positive).map(|(&s, &p)| ((f64::from(s) > score) == p, (s > 0.0) == p));
    let (gained, lost) = answers.fold((0, 0), |(gained, lost), (now, before)| {
        (gained + usize::from(now && !before), lost + usize::from(before && !now))
    });
    Some(BestThreshold { score, right, gained, lost })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Key, Use};
    use crate::stats::classifier::binary_auc;

    #[test]
    fn curves_by_hand() {
        // scikit-learn's example: roc_curve and average_precision_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) =
        // 0.8333.
        let found = curves(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]).unwrap();
        let roc: Vec<(f64, f64)> = found.roc.iter().map(|p| (p.x, p.y)).collect();
        assert_eq!(roc, [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        assert!((found.average_precision - 5.0 / 6.0).abs() < 1e-12);
        assert_eq!((found.prevalence, found.precision_recall[0].y), (0.5, 1.0));
        assert_eq!(curves(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(curves(&[1.0, f32::NAN], &[true, false]), None);
    }

    #[test]
    fn the_area_under_the_curve_is_the_share_of_ordered_pairs() {
        let mut rng = Key::new(5, Use::Shuffle).rng();
        #[allow(clippy::cast_precision_loss)]
        let scores: Vec<f32> = (0..60).map(|_| rng.below(9) as f32).collect();
        let positive: Vec<bool> = (0..60).map(|_| rng.coin()).collect();
        let roc = curves(&scores, &positive).unwrap().roc;
        let area: f64 = roc.windows(2).map(|p| (p[1].x - p[0].x) * f64::midpoint(p[0].y, p[1].y)).sum();
        assert!((area - binary_auc(&scores, &positive).unwrap()).abs() < 1e-12);
    }

    #[test]
    fn the_best_cut_lies_in_the_middle_of_the_widest_gap() {
        // All are positive at 0; a threshold of 3 is correct for all.
        let found = best_threshold(&[1.0, 2.0, 4.0, 5.0], &[false, false, true, true]).unwrap();
        assert_eq!(found, BestThreshold { score: 3.0, right: 4, gained: 2, lost: 0 });
        assert_eq!(best_threshold(&[1.0, 1.0], &[false, true]), None);
        // Three of four are correct for thresholds between 6 and 5 and between 1 and 0.5; the former gap is wider.
        let found = best_threshold(&[6.0, 5.0, 1.0, 0.5], &[true, false, true, false]).unwrap();
        assert_eq!((found.right, found.score), (3, 5.5));
    }
}
