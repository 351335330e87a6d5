//! Maps prepared for comparison as they are seen.

use rayon::prelude::*;

use crate::explain::Attribution;
use crate::metric::similarity::{pearson, ranks, structural};

/// Share of pixels whose heat is clipped, so that single pixels do not make the others invisible.
const CUT_OFF: f64 = 0.01;

/// The heat of a map: the positive part of a layer map, or |v| summed over the channels of an input map.
#[derive(Clone, Debug)]
pub(super) struct ComparableMap {
    /// Rank of each pixel's heat; ranks are multiples of ½, so that an `f32` holds them exactly.
    ranks: Vec<f32>,
    /// Heat from 0 to 1.
    values: Vec<f32>,
    size: [usize; 2],
    /// True if all pixels are equal.
    blank: bool,
}

/// Rank correlation and structural similarity.
pub(super) type Alike = [f64; 2];

impl ComparableMap {
    pub(super) fn of(attribution: &Attribution) -> Self {
        let plane = attribution.plane();
        let (plane, size): (&[f32], _) =
            plane.as_ref().map_or((&[], [0; 2]), |map| (map.values(), [map.height(), map.width()]));
        Self::of_heat(plane.iter().map(|v| v.max(0.0)).collect(), size)
    }

    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn of_heat(heat: Vec<f32>, size: [usize; 2]) -> Self {
        let full = full_strength(&heat);
        let blank = heat.windows(2).all(|pair| pair[0] == pair[1]);
        let ranks = ranks(&heat).into_iter().map(|rank| rank as f32).collect();
        let values = heat.iter().map(|v| if full > 0.0 { (v / full).min(1.0) } else { 0.0 }).collect();
        Self { ranks, values, size, blank }
    }

    /// Returns the similarity of two pictures; 0 if one of them is uniform or the sizes differ.
    fn alike(&self, other: &Self) -> Alike {
        if self.blank || other.blank || self.size != other.size {
            return [0.0; 2];
        }
        let structure = structural(&self.values, &other.values, self.size, 1.0);
        [pearson(&self.ranks, &other.ranks).unwrap_or(0.0), structure.unwrap_or(0.0)]
    }
}

/// Returns the heat drawn at full strength: the 99th percentile, or the maximum if that is 0.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn full_strength(heat: &[f32]) -> f32 {
    let mut rising = heat.to_vec();
    rising.sort_by(f32::total_cmp);
    let at = (rising.len().saturating_sub(1) as f64 * (1.0 - CUT_OFF)).round() as usize;
    let largest = rising.last().copied().unwrap_or(0.0);
    rising.get(at).copied().filter(|v| *v > 0.0).unwrap_or(largest)
}

/// Compares the pictures pairwise; the index into `b` is offset by `shift` images.
pub(super) fn compare(a: &[ComparableMap], b: &[ComparableMap], shift: usize) -> Vec<Alike> {
    let n = a.len().min(b.len());
    (0..n).into_par_iter().map(|i| a[i].alike(&b[(i + shift) % n])).collect()
}

/// Returns the mean of both measures.
pub(super) fn mean_of([rank, structure]: Alike) -> f64 {
    f64::midpoint(rank, structure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_picture_shows_is_compared() {
        let one = ComparableMap::of_heat((0..64).map(|i| (i % 7) as f32).collect(), [8, 8]);
        let two = ComparableMap::of_heat((0..64).map(|i| 3.0 * (i % 7) as f32).collect(), [8, 8]);
        let same = one.alike(&two);
        assert!(same.iter().all(|s| (s - 1.0).abs() < 1e-9), "strength does not matter: {same:?}");
        let blank = ComparableMap::of_heat(vec![0.0; 64], [8, 8]);
        assert_eq!(blank.alike(&blank), [0.0; 2], "nothing to see is nothing in common");
        assert_eq!(one.alike(&ComparableMap::of_heat(vec![1.0, 2.0], [1, 2])), [0.0; 2]);
        assert_eq!(compare(&[one, blank.clone()], &[blank, two], 1), [same, [0.0; 2]]);
    }
}
