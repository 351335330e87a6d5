//! Bilinear resizing of byte planes with Pillow's arithmetic, bit for bit as in torchvision: a triangle filter as wide
//! as the reduction, weights with 22 fractional bits, columns first, rounding to bytes after each direction.
//!
//! Source of the arithmetic: Pillow, `src/libImaging/Resample.c`.

/// Number of fractional bits of a weight.
const PLACES: u32 = 22;

/// Source points of a resized point: the index of the first one, and the weights from there on.
struct Tap {
    first: usize,
    weights: Vec<i64>,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positions within a side")]
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = from as f64 / to.max(1) as f64;
    let reach = scale.max(1.0);
    let tap = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let weight = |at: usize| (1.0 - ((at as f64 - centre + 0.5) / reach).abs()).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        let fixed = |at| (weight(at) / sum * f64::from(1u32 << PLACES) + 0.5) as i64;
        Tap { first, weights: (first..end).map(fixed).collect() }
    };
    (0..to).map(tap).collect()
}

impl Tap {
    /// Returns the weighted mean of the bytes `at(first)`, `at(first + 1)`, ….
    fn mix(&self, at: impl Fn(usize) -> u8) -> u8 {
        let points = self.weights.iter().zip(self.first..);
        let sum: i64 = points.map(|(weight, point)| weight * i64::from(at(point))).sum();
        ((sum + (1 << (PLACES - 1))) >> PLACES).clamp(0, 255) as u8
    }
}

/// Resizes a plane of `[h, w]` to the size `to`.
pub(super) fn resize(plane: &[u8], [height, width]: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    if plane.len() != height * width || plane.is_empty() {
        return vec![0; to[0] * to[1]];
    }
    let (rows, columns) = (taps(height, to[0]), taps(width, to[1]));
    let mut narrow = Vec::with_capacity(height * to[1]);
    for line in plane.chunks_exact(width) {
        narrow.extend(columns.iter().map(|tap| tap.mix(|x| line[x])));
    }
    let mut resized = Vec::with_capacity(to[0] * to[1]);
    for tap in &rows {
        resized.extend((0..to[1]).map(|x| tap.mix(|y| narrow[y * to[1] + x])));
    }
    resized
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_pillow() {
        // Image.fromarray(numpy.array([[0, 10, 200, 255, 3], [7, 99, 1, 64, 128], [250, 0, 17, 33, 90]], 'uint8'))
        // .resize((2, 2), Image.BILINEAR) of Pillow 13.0.0, and .resize((7, 4), …).
        let plane = [0, 10, 200, 255, 3, 7, 99, 1, 64, 128, 250, 0, 17, 33, 90];
        assert_eq!(resize(&plane, [3, 5], [2, 2]), [55, 121, 70, 56]);
        assert_eq!(
            resize(&plane, [3, 5], [4, 7]),
            [
                0, 6, 64, 200, 239, 147, 3, 4, 40, 68, 76, 118, 112, 81, 98, 78, 46, 7, 39, 78, 114, 250,
                107, 5, 17, 28, 57, 90
            ]
        );
        assert_eq!(resize(&plane, [3, 5], [3, 5]), plane);
        assert_eq!(resize(&[], [0, 0], [1, 2]), [0, 0]);
    }
}
