//! Half-pixel bilinear interpolation of planes outside a graph.

/// Where one of `to` points lies between `from` points: at (i + ½)·from/to − ½; beyond the first and
/// the last it stays at them.
#[derive(Clone, Copy, Debug)]
pub(in crate::method) struct Tap {
    /// The point before it.
    pub left: usize,
    /// The point behind it.
    pub right: usize,
    /// How much of the point behind it.
    pub share: f32,
}

impl Tap {
    /// The place of point `i`.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(in crate::method) fn new(i: usize, from: usize, to: usize) -> Self {
        let last = from.saturating_sub(1);
        let at = ((i as f64 + 0.5) * from as f64 / to.max(1) as f64 - 0.5).clamp(0.0, last as f64);
        let left = at.floor() as usize;
        Self { left, right: (left + 1).min(last), share: (at - at.floor()) as f32 }
    }
}

/// The enlargement of planes h×w to H×W.
#[derive(Clone, Debug)]
pub(in crate::method) struct Enlargement {
    width: usize,
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

impl Enlargement {
    /// From `[h, w]` to `[H, W]`.
    pub(in crate::method) fn new([h, w]: [usize; 2], [height, width]: [usize; 2]) -> Self {
        Self {
            width: w,
            rows: (0..height).map(|y| Tap::new(y, h, height)).collect(),
            columns: (0..width).map(|x| Tap::new(x, w, width)).collect(),
        }
    }

    /// Part of a larger enlargement, to `full`: the window of `size` whose corner lies at `corner`.
    pub(in crate::method) fn window(
        [h, w]: [usize; 2],
        full: [usize; 2],
        corner: [usize; 2],
        size: [usize; 2],
    ) -> Self {
        let taps = |from, axis: usize| {
            (corner[axis]..corner[axis] + size[axis]).map(|i| Tap::new(i, from, full[axis])).collect()
        };
        Self { width: w, rows: taps(h, 0), columns: taps(w, 1) }
    }

    /// The plane enlarged.
    pub(in crate::method) fn apply(&self, plane: &[f32]) -> Vec<f32> {
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
    pub(in crate::method) fn transposed(&self, large: &[f32], len: usize) -> Vec<f64> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::formula::bilinear_matrix;

    #[test]
    fn it_is_the_product_with_both_matrices() {
        let plane: Vec<f32> = (0u8..6).map(|v| f32::from(v * v)).collect();
        let (rows, columns) = (bilinear_matrix(2, 5), bilinear_matrix(3, 7));
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
}
