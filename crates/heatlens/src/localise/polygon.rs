//! Rasterization of polygons: a pixel is inside if its centre is (even-odd rule).

use crate::localise::Mask;

/// Fills polygons given as x, y, x, y and so on.
pub(super) fn fill(polygons: &[Vec<f64>], height: usize, width: usize) -> Mask {
    let mut mask = Mask::empty(height, width);
    for polygon in polygons {
        let corners: Vec<(f64, f64)> = polygon.chunks_exact(2).map(|xy| (xy[0], xy[1])).collect();
        for row in 0..height {
            for pair in crossings(&corners, row as f64 + 0.5).chunks_exact(2) {
                // Centres from the first crossing up to, but not including, the second.
                let (from, to) = (first_centre(pair[0], width), first_centre(pair[1], width));
                mask.inside[row * width + from..row * width + to.max(from)].fill(true);
            }
        }
    }
    mask
}

/// Returns the positions at which the polygon's edges cross a horizontal line, from left to right.
fn crossings(corners: &[(f64, f64)], y: f64) -> Vec<f64> {
    let next = corners.iter().cycle().skip(1);
    let cross = |(a, b): (&(f64, f64), &(f64, f64))| {
        let between = (a.1 <= y) != (b.1 <= y);
        between.then(|| a.0 + (y - a.1) / (b.1 - a.1) * (b.0 - a.0))
    };
    let mut found: Vec<f64> = corners.iter().zip(next).filter_map(cross).collect();
    found.sort_by(f64::total_cmp);
    found
}

/// Returns the first pixel whose centre is at x or to the right of it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the image")]
fn first_centre(x: f64, width: usize) -> usize {
    (x - 0.5).ceil().clamp(0.0, width as f64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_has_its_pixels_and_a_triangle_half_of_them() {
        let rectangle = fill(&[vec![1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]], 5, 6);
        assert_eq!(rectangle.area(), 6);
        assert_eq!(rectangle.bounds().map(|b| (b.x, b.y, b.width, b.height)), Some((1, 1, 3, 2)));
        let triangle = fill(&[vec![0.0, 0.0, 100.0, 0.0, 0.0, 100.0]], 100, 100);
        assert!((triangle.area() as f64 - 5000.0).abs() <= 50.0, "{}", triangle.area());
    }

    #[test]
    fn odd_input_fills_nothing() {
        assert_eq!(fill(&[vec![], vec![1.0], vec![1.0, 2.0, 3.0, 4.0]], 4, 4).area(), 0);
        assert_eq!(fill(&[vec![-9.0, -9.0, 99.0, -9.0, 99.0, 99.0, -9.0, 99.0]], 3, 3).area(), 9);
        assert_eq!(fill(&[vec![f64::NAN; 6]], 3, 3).area(), 0);
    }
}
