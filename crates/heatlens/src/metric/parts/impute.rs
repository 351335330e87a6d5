//! Linear imputation of pixels from their neighbours (Rong et al. 2022, ROAD, §4.2). Every missing pixel is the
//! weighted mean of its eight neighbours: 1/6 for horizontal and vertical ones, 1/12 for diagonal ones. This is a
//! linear system in the missing pixels. It is solved from coarse to fine: the solution at half the size is the
//! starting point for the next one.

mod grid;
mod solve;

use crate::bilinear::resize;
use grid::Grid;

/// Replaces the `missing` pixels (shape `h w`) of an image of shape `c h w`. An image that is entirely missing
/// becomes 0.
pub(in crate::metric) fn impute(image: &mut [f32], [_, h, w]: [usize; 3], missing: &[bool]) {
    let grids = grids(missing, h, w);
    for plane in image.chunks_exact_mut((h * w).max(1)) {
        fill(&grids, plane);
    }
}

/// Returns the grids of full size, half size and so on, until nothing is missing.
fn grids(missing: &[bool], h: usize, w: usize) -> Vec<Grid> {
    let mut grids = vec![Grid::new(missing.to_vec(), h, w)];
    while let Some(last) = grids.last().filter(|g| g.any_missing() && g.h.max(g.w) > 1) {
        let half = last.half();
        grids.push(half);
    }
    grids
}

/// Fills in the missing pixels of a plane of the first grid.
fn fill(grids: &[Grid], plane: &mut [f32]) {
    let Some((grid, coarser)) = grids.split_first().filter(|(grid, _)| grid.any_missing()) else { return };
    let Some(coarse) = coarser.first() else {
        plane.fill(0.0);
        return;
    };
    let mut small = grid.halved(plane, coarse);
    fill(coarser, &mut small);
    // Cells of the half-size plane are pairs of pixels; the last may extend over the edge.
    let start = resize(&small, [coarse.h, coarse.w], [2 * coarse.h, 2 * coarse.w]);
    let rows = plane.chunks_exact_mut(grid.w).zip(grid.missing.chunks_exact(grid.w));
    for ((row, missing), start) in rows.zip(start.chunks_exact(2 * coarse.w)) {
        for ((value, _), start) in row.iter_mut().zip(missing).zip(start).filter(|((_, m), _)| **m) {
            *value = *start;
        }
    }
    solve::solve(grids, plane);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Key, Use};

    /// Returns the largest deviation of a missing pixel from the weighted mean of its neighbours.
    fn off(image: &[f32], [_, h, w]: [usize; 3], missing: &[bool]) -> f64 {
        let mut worst = 0.0f64;
        for (i, _) in missing.iter().enumerate().filter(|(_, m)| **m) {
            let (mut sum, mut weights) = (0.0, 0.0);
            for (dy, dx) in (0..9).map(|k| (k / 3, k % 3)).filter(|&p| p != (1, 1)) {
                let (y, x) = ((i / w + dy).wrapping_sub(1), (i % w + dx).wrapping_sub(1));
                if y < h && x < w {
                    let weight = if dy == 1 || dx == 1 { 1.0 / 6.0 } else { 1.0 / 12.0 };
                    sum += weight * f64::from(image[y * w + x]);
                    weights += weight;
                }
            }
            worst = worst.max((f64::from(image[i]) - sum / weights).abs());
        }
        worst
    }

    #[test]
    fn missing_pixels_are_the_means_of_their_neighbours() {
        for (case, [h, w], share) in
            [(0, [17, 23], 0.3), (1, [32, 32], 0.9), (2, [9, 31], 0.97), (3, [64, 48], 0.5)]
        {
            let mut rng = Key::new(case, Use::Audit).rng();
            let image: Vec<f32> = (0..2 * h * w).map(|_| rng.uniform()).collect();
            // A large hole and scattered pixels.
            let missing: Vec<bool> =
                (0..h * w).map(|i| rng.uniform() < share || (i / w < h / 2 && i % w < w / 2)).collect();
            let mut filled = image.clone();
            impute(&mut filled, [2, h, w], &missing);
            for plane in filled.chunks(h * w) {
                let off = off(plane, [1, h, w], &missing);
                assert!(off < 1e-3, "{case}: {off}");
            }
            for (i, (a, b)) in image.iter().zip(&filled).enumerate() {
                assert!(missing[i % (h * w)] || a == b, "a known pixel changed");
            }
        }
    }

    #[test]
    fn one_known_pixel_fills_the_image_and_none_leaves_it_empty() {
        let mut image = vec![0.0; 35];
        image[17] = 0.7;
        let missing: Vec<bool> = (0..35).map(|i| i != 17).collect();
        impute(&mut image, [1, 5, 7], &missing);
        assert!(image.iter().all(|v| (v - 0.7).abs() < 0.01), "{image:?}");
        impute(&mut image, [1, 5, 7], &[true; 35]);
        assert_eq!(image, [0.0; 35]);
    }
}
