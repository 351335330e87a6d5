//! The only implementation of bilinear interpolation: pixel centres at half integers (PyTorch's `align_corners=False`,
//! ONNX's `half_pixel`), clamped at the border, without antialiasing. Points that are not evenly spaced are given by a
//! [`Placement`].

use crate::placement::Placement;

/// Position between two neighbouring points, clamped to the first and the last.
#[derive(Clone, Copy, Debug)]
pub struct Tap {
    /// Index of the point before the position.
    pub left: usize,
    /// Index of the point after the position.
    pub right: usize,
    /// Fraction of the second point.
    pub share: f32,
    /// Sum of both weights: less than 1 far beyond the first or last point.
    pub strength: f32,
}

impl Tap {
    /// Returns the position of point `i` of `to` among `from` points, both evenly spaced: (i + ½)·from/to − ½.
    #[allow(clippy::cast_precision_loss)]
    pub fn new(i: usize, from: usize, to: usize) -> Self {
        Self::at((i as f64 + 0.5) * from as f64 / to.max(1) as f64 - 0.5, from)
    }

    /// Returns the position `at` among `from` points.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn at(at: f64, from: usize) -> Self {
        let last = from.saturating_sub(1);
        let at = at.clamp(0.0, last as f64);
        let left = at.floor() as usize;
        Self { left, right: (left + 1).min(last), share: (at - at.floor()) as f32, strength: 1.0 }
    }

    /// Returns the position `at` among `from` cells of a map. Beyond the outermost cells the value is constant for one
    /// cell and fades over the next one ([decision 16](../../../docs/decisions/016-placement.md)).
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    pub fn of_cells(at: f64, from: usize) -> Self {
        let beyond = (-at).max(at - from.saturating_sub(1) as f64);
        Self { strength: (2.0 - beyond).clamp(0.0, 1.0) as f32, ..Self::at(at, from) }
    }

    /// Returns the weights of the points before and after the position.
    #[inline]
    pub fn weights(&self) -> [f32; 2] {
        [(1.0 - self.share) * self.strength, self.share * self.strength]
    }

    /// Interpolates between the values of the points.
    #[inline]
    pub fn mix(self, value: impl Fn(usize) -> f32) -> f32 {
        let [left, right] = self.weights();
        value(self.left) * left + value(self.right) * right
    }
}

/// Upsampling of planes from h×w to H×W.
#[derive(Clone, Debug)]
pub struct Enlargement {
    width: usize,
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

impl Enlargement {
    /// Resizes from `[h, w]` to `[H, W]`.
    pub fn new([h, w]: [usize; 2], [height, width]: [usize; 2]) -> Self {
        Self {
            width: w,
            rows: (0..height).map(|y| Tap::new(y, h, height)).collect(),
            columns: (0..width).map(|x| Tap::new(x, w, width)).collect(),
        }
    }

    /// Resizes `[h, w]` cells placed on the image to the whole image at `[H, W]`.
    pub fn placed([h, w]: [usize; 2], placement: &Placement, [height, width]: [usize; 2]) -> Self {
        Self {
            width: w,
            rows: over_image(placement, 0, h, height),
            columns: over_image(placement, 1, w, width),
        }
    }

    /// Resamples a map at the cells of another one; `from` and `to` are size and placement.
    pub fn between(from: ([usize; 2], &Placement), to: ([usize; 2], &Placement)) -> Self {
        let taps = |axis: usize| between(axis, from, to);
        Self { width: from.0[1], rows: taps(0), columns: taps(1) }
    }

    /// Resamples a map of the mirrored image (left to right) at the cells of the original.
    pub fn mirrored([h, w]: [usize; 2], placement: &Placement) -> Self {
        let mirror = |i: usize| placement.cell(1, 1.0 - placement.share(1, i, w), 1.0, w);
        let columns = (0..w).map(|i| Tap::at(mirror(i), w)).collect();
        Self { width: w, rows: (0..h).map(|i| Tap::new(i, h, h)).collect(), columns }
    }

    /// Returns the window of `size` at `corner` of a larger upsampling to `full`.
    pub fn window([h, w]: [usize; 2], full: [usize; 2], corner: [usize; 2], size: [usize; 2]) -> Self {
        let taps = |from, axis: usize| {
            (corner[axis]..corner[axis] + size[axis]).map(|i| Tap::new(i, from, full[axis])).collect()
        };
        Self { width: w, rows: taps(h, 0), columns: taps(w, 1) }
    }

    /// Applies the upsampling to a plane.
    pub fn apply(&self, plane: &[f32]) -> Vec<f32> {
        let mut large = Vec::with_capacity(self.rows.len() * self.columns.len());
        for row in &self.rows {
            let upper = &plane[row.left * self.width..][..self.width];
            let lower = &plane[row.right * self.width..][..self.width];
            let [above, below] = row.weights();
            for column in &self.columns {
                let [left, right] = column.weights();
                let mix = |line: &[f32]| line[column.left] * left + line[column.right] * right;
                large.push(mix(upper) * above + mix(lower) * below);
            }
        }
        large
    }

    /// Applies the transpose: returns the derivative with respect to the small plane (of `len` elements), given the one
    /// with respect to the large plane.
    pub fn transposed(&self, large: &[f32], len: usize) -> Vec<f64> {
        let mut small = vec![0.0; len];
        for (row, line) in self.rows.iter().zip(large.chunks(self.columns.len().max(1))) {
            for (column, &value) in self.columns.iter().zip(line) {
                for (y, down) in [row.left, row.right].into_iter().zip(row.weights()) {
                    for (x, right) in [column.left, column.right].into_iter().zip(column.weights()) {
                        small[y * self.width + x] += f64::from(value * down * right);
                    }
                }
            }
        }
        small
    }
}

/// Resizes a plane `[h, w]` to `[H, W]`. Returns zeros if the length of the plane is not h·w, or if it has no pixels.
#[must_use]
pub fn resize(plane: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    if plane.is_empty() || from[0].checked_mul(from[1]) != Some(plane.len()) {
        return vec![0.0; to[0] * to[1]];
    }
    Enlargement::new(from, to).apply(plane)
}

/// Returns the positions of `to` evenly spaced points of the image among `from` cells.
pub fn over_image(placement: &Placement, axis: usize, from: usize, to: usize) -> Vec<Tap> {
    let at = |i: usize| placement.cell(axis, i as f64 + 0.5, to.max(1) as f64, from);
    (0..to).map(|i| Tap::of_cells(at(i), from)).collect()
}

/// Returns the positions of one map's cells among those of another. Beyond the outermost cells the value is constant,
/// since a missing cell is not a cell without heat.
pub fn between(axis: usize, from: ([usize; 2], &Placement), to: ([usize; 2], &Placement)) -> Vec<Tap> {
    let (size, placement) = (from.0[axis], from.1);
    let n = to.0[axis];
    let at = |i: usize| match to.1.is_spread(axis) {
        true => placement.cell(axis, i as f64 + 0.5, n.max(1) as f64, size),
        false => placement.cell(axis, to.1.share(axis, i, n), 1.0, size),
    };
    (0..n).map(|i| Tap::at(at(i), size)).collect()
}

/// Returns the interpolation matrix of some positions, row-major `to`×`from`.
pub fn as_matrix(taps: &[Tap], from: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; from * taps.len()];
    for (tap, row) in taps.iter().zip(matrix.chunks_mut(from.max(1))) {
        let [left, right] = tap.weights();
        row[tap.left] += left;
        row[tap.right] += right;
    }
    matrix
}

/// Returns the matrix that interpolates `from` points to `to` points, row-major `to`×`from`.
#[must_use]
pub fn matrix(from: usize, to: usize) -> Vec<f32> {
    let taps: Vec<Tap> = (0..to).map(|i| Tap::new(i, from, to)).collect();
    as_matrix(&taps, from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Cells;

    #[test]
    fn it_is_the_product_with_both_matrices() {
        let plane: Vec<f32> = (0u8..6).map(|v| f32::from(v * v)).collect();
        let (rows, columns) = (matrix(2, 5), matrix(3, 7));
        let large = Enlargement::new([2, 3], [5, 7]).apply(&plane);
        for y in 0..5 {
            for x in 0..7 {
                let mut expected = 0.0;
                for (i, value) in plane.iter().enumerate() {
                    expected += rows[y * 2 + i / 3] * columns[x * 3 + i % 3] * value;
                }
                assert!((large[y * 7 + x] - expected).abs() < 1e-5, "{y} {x}");
            }
        }
        let back = Enlargement::new([2, 3], [5, 7]).transposed(&large, 6);
        let [forth, and_back]: [f64; 2] = [
            large.iter().map(|v| f64::from(v * v)).sum(),
            plane.iter().zip(back).map(|(a, b)| f64::from(*a) * b).sum(),
        ];
        assert!((forth - and_back).abs() < 1e-3 * forth, "⟨Ax, Ax⟩ = ⟨x, AᵀAx⟩: {forth} {and_back}");
        let part = Enlargement::window([2, 3], [5, 7], [1, 2], [3, 4]).apply(&plane);
        let cut: Vec<f32> = (1..4).flat_map(|y| large[y * 7 + 2..y * 7 + 6].to_vec()).collect();
        assert_eq!(part, cut);
    }

    /// Returns cells 8 pixels apart, the first at pixel 0, on 16 pixels; columns are evenly spaced.
    fn strided() -> Placement {
        Placement::new([Some(Cells::PIXELS.windows(3, 8, 1, 1)), None], [16, 16])
    }

    #[test]
    fn cells_count_where_they_stand() {
        let large = Enlargement::placed([2, 1], &strided(), [16, 2]).apply(&[0.0, 8.0]);
        let column: Vec<f32> = large.chunks(2).map(|row| row[0]).collect();
        let expected = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0];
        assert_eq!(column, expected);
        let [rows, columns] = [0, 1]
            .map(|axis| as_matrix(&over_image(&strided(), axis, [2, 1][axis], [16, 2][axis]), [2, 1][axis]));
        assert_eq!((rows[8..12].to_vec(), columns), (vec![0.5, 0.5, 0.375, 0.625], vec![1.0; 2]));
        // Cells at 6, 8 and 10: the value is constant for two pixels, and zero two pixels further on.
        let inner = Placement::new([Some(Cells::PIXELS.windows(13, 2, 1, 0)), None], [17, 17]);
        let large = Enlargement::placed([3, 1], &inner, [17, 1]).apply(&[4.0, 6.0, 8.0]);
        let expected = [0.0, 0.0, 0.0, 2.0, 4.0, 4.0, 4.0, 5.0, 6.0, 7.0, 8.0, 8.0, 8.0, 4.0, 0.0, 0.0, 0.0];
        assert_eq!(large, expected);
    }

    #[test]
    fn a_slope_stays_a_slope_wherever_the_cells_stand() {
        let dense = Placement::new([Some(Cells::PIXELS.windows(5, 2, 1, 1)), None], [16, 16]);
        let places: Vec<f32> = [0.0, 8.0].to_vec();
        let brought = Enlargement::between(([2, 1], &strided()), ([7, 1], &dense)).apply(&places);
        // The dense cells are at 1, 3, …, 13.
        assert_eq!(brought, [1.0, 3.0, 5.0, 7.0, 8.0, 8.0, 8.0]);
        let rows = as_matrix(&super::between(0, ([2, 1], &strided()), ([7, 1], &dense)), 2);
        assert_eq!(rows[..4], [0.875, 0.125, 0.625, 0.375]);
        // In the mirrored image, position x corresponds to 15 − x.
        let across = Placement::new([None, Some(Cells::PIXELS.windows(3, 8, 1, 1))], [16, 16]);
        let put_back = Enlargement::mirrored([1, 2], &across).apply(&places);
        assert_eq!(put_back, [8.0, 7.0]);
    }

    #[test]
    fn interpolation_is_half_pixel() {
        // 2 → 4: positions −¼ (clamped), ¼, ¾, 1¼ (clamped).
        let expected = [1.0, 0.0, 0.75, 0.25, 0.25, 0.75, 0.0, 1.0];
        assert_eq!(matrix(2, 4), expected);
        assert_eq!(matrix(1, 3), [1.0, 1.0, 1.0]);
        for row in matrix(22, 95).chunks(22) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn half_pixel_values_by_hand() {
        // 2 → 4: sources −0.25 (clamped), 0.25, 0.75, 1.25 (clamped).
        assert_eq!(resize(&[0.0, 4.0], [1, 2], [1, 4]), [0.0, 1.0, 3.0, 4.0]);
        let square = resize(&[0.0, 4.0, 8.0, 12.0], [2, 2], [4, 4]);
        assert_eq!(square[..8], [0.0, 1.0, 3.0, 4.0, 2.0, 3.0, 5.0, 6.0]);
        assert_eq!(square[15], 12.0);
        // 4 → 2 without antialiasing: sources 0.5 and 2.5.
        assert_eq!(resize(&[0.0, 2.0, 9.0, 1.0], [1, 4], [1, 2]), [1.0, 5.0]);
        // 3 → 2: sources 0.25 and 1.75.
        assert_eq!(resize(&[0.0, 4.0, 8.0], [3, 1], [2, 1]), [1.0, 7.0]);
        assert_eq!(resize(&[5.0], [1, 1], [2, 2]), [5.0; 4]);
        assert_eq!(resize(&[1.0, 2.0], [1, 2], [1, 2]), [1.0, 2.0]);
        assert_eq!(resize(&[], [0, 0], [1, 2]), [0.0; 2]);
    }
}
