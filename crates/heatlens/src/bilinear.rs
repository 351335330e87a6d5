//! Bilinear interpolation, here and nowhere else: pixel centres at half integers (PyTorch's
//! `align_corners=False`, ONNX's `half_pixel`), the border repeated, without antialiasing.

/// Where one of `to` points lies between `from` points: at (i + ½)·from/to − ½; beyond the first and
/// the last it stays at them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    /// The point before it.
    pub left: usize,
    /// The point behind it.
    pub right: usize,
    /// How much of the point behind it.
    pub share: f32,
}

impl Tap {
    /// The place of point `i`.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn new(i: usize, from: usize, to: usize) -> Self {
        Self::at((i as f64 + 0.5) * from as f64 / to.max(1) as f64 - 0.5, from)
    }

    /// A position among `from` points; the first lies at 0.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn at(position: f64, from: usize) -> Self {
        let last = from.saturating_sub(1);
        let at = position.clamp(0.0, last as f64);
        let left = at.floor() as usize;
        Self { left, right: (left + 1).min(last), share: (at - at.floor()) as f32 }
    }

    /// The value there, of what the points have.
    pub(crate) fn mix(self, value: impl Fn(usize) -> f32) -> f32 {
        value(self.left) * (1.0 - self.share) + value(self.right) * self.share
    }
}

/// The enlargement of planes h×w to H×W.
#[derive(Clone, Debug)]
pub(crate) struct Enlargement {
    width: usize,
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

impl Enlargement {
    /// From `[h, w]` to `[H, W]`.
    pub(crate) fn new([h, w]: [usize; 2], [height, width]: [usize; 2]) -> Self {
        Self {
            width: w,
            rows: (0..height).map(|y| Tap::new(y, h, height)).collect(),
            columns: (0..width).map(|x| Tap::new(x, w, width)).collect(),
        }
    }

    /// Part of a larger enlargement, to `full`: the window of `size` whose corner lies at `corner`.
    pub(crate) fn window([h, w]: [usize; 2], full: [usize; 2], corner: [usize; 2], size: [usize; 2]) -> Self {
        let taps = |from, axis: usize| {
            (corner[axis]..corner[axis] + size[axis]).map(|i| Tap::new(i, from, full[axis])).collect()
        };
        Self { width: w, rows: taps(h, 0), columns: taps(w, 1) }
    }

    /// The plane enlarged.
    pub(crate) fn apply(&self, plane: &[f32]) -> Vec<f32> {
        let mut large = Vec::with_capacity(self.rows.len() * self.columns.len());
        for row in &self.rows {
            let upper = &plane[row.left * self.width..][..self.width];
            let lower = &plane[row.right * self.width..][..self.width];
            for column in &self.columns {
                let mix = |line: &[f32]| {
                    line[column.left] * (1.0 - column.share) + line[column.right] * column.share
                };
                large.push(mix(upper) * (1.0 - row.share) + mix(lower) * row.share);
            }
        }
        large
    }

    /// The other way: the derivative with respect to the small plane (of so many numbers), given the
    /// one with respect to the large plane.
    pub(crate) fn transposed(&self, large: &[f32], len: usize) -> Vec<f64> {
        let mut small = vec![0.0; len];
        for (row, line) in self.rows.iter().zip(large.chunks(self.columns.len().max(1))) {
            for (column, &value) in self.columns.iter().zip(line) {
                for (y, down) in [(row.left, 1.0 - row.share), (row.right, row.share)] {
                    for (x, right) in [(column.left, 1.0 - column.share), (column.right, column.share)] {
                        small[y * self.width + x] += f64::from(value * down * right);
                    }
                }
            }
        }
        small
    }
}

/// Resizes a plane `[h, w]` to `[H, W]`. A plane whose length is not h·w, or of no pixels, gives zeros.
#[must_use]
pub fn resize(plane: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    if plane.is_empty() || from[0].checked_mul(from[1]) != Some(plane.len()) {
        return vec![0.0; to[0] * to[1]];
    }
    Enlargement::new(from, to).apply(plane)
}

/// The matrix that interpolates `from` points to `to` points, row-major `to`×`from`.
#[must_use]
pub fn matrix(from: usize, to: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; from * to];
    for (i, row) in matrix.chunks_mut(from.max(1)).enumerate() {
        let Tap { left, right, share } = Tap::new(i, from, to);
        row[left] += 1.0 - share;
        row[right] += share;
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

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
