//! Segmentation of an image, used by LIME and Kernel SHAP.

use crate::extremes::extremes;
use crate::method::parts::baseline::baseline;
use crate::method::{MethodError, MethodParameter, PassContext, Setting};
use crate::random::Key;

/// Maximum number of pieces; more would make the equations too large to solve for every image.
const MOST_SEGMENTS: usize = 500;

/// Number of k-means iterations; Achanta et al. 2012 find 10 sufficient for any image.
const ROUNDS: usize = 10;

/// Weight of positions relative to colours. Positions are shares of the distance between pieces, colours shares of
/// the image's range.
const COMPACTNESS: f32 = 0.3;

/// Piece of each pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::method) struct Segments {
    /// Piece numbers from 0, shape `h w`.
    pub labels: Vec<usize>,
    /// Number of pieces.
    pub count: usize,
}

/// Segmentation settings, and the fill for covered pieces.
#[derive(Clone, Copy, Debug)]
pub(in crate::method) struct Cutting {
    shape: [usize; 3],
    wanted: usize,
    shapes: &'static str,
    fill: &'static str,
    key: Key,
}

impl Cutting {
    /// The parameter for the number of pieces.
    pub(in crate::method) const SEGMENTS: MethodParameter = MethodParameter {
        name: "segments",
        default: Setting::Count(49),
        summary: "about how many pieces the image is cut into",
    };
    /// The parameter for the shape of the pieces.
    pub(in crate::method) const SHAPES: MethodParameter = MethodParameter {
        name: "shapes",
        default: Setting::Choice(&["grid", "slic"]),
        summary: "pieces: rectangles, or superpixels of one colour (Achanta et al. 2012)",
    };
    /// The parameter for the fill of covered pieces.
    pub(in crate::method) const FILL: MethodParameter = MethodParameter {
        name: "fill",
        default: Setting::Choice(&["zero", "mean", "blur", "uniform"]),
        summary: "what covers a piece: zero, each channel's mean, the image blurred, or noise",
    };

    /// Reads the settings; if an image has fewer pixels than the default number of pieces, every pixel is a piece.
    pub(in crate::method) fn new(context: &PassContext<'_>) -> Result<Self, MethodError> {
        let [_, h, w] = context.image_shape();
        context.chosen.count_up_to("segments", MOST_SEGMENTS)?;
        let too_many = || format!("the image has only {} pixels", h * w);
        let wanted = context.count_that_fits("segments", |pieces| pieces <= h * w, h * w, too_many)?;
        let (shape, key) = (context.image_shape(), context.key());
        let (shapes, fill) = (context.chosen.choice("shapes")?, context.chosen.choice("fill")?);
        Ok(Self { shape, wanted, shapes, fill, key })
    }

    /// Returns the maximum number of pieces, which is exact for rectangles and an upper bound for superpixels.
    pub(in crate::method) fn most(&self) -> usize {
        let [_, h, w] = self.shape;
        cells([h, w], self.wanted).into_iter().product()
    }

    /// Returns the pieces of an image.
    pub(in crate::method) fn cut(&self, pixels: &[f32]) -> Segments {
        let [_, h, w] = self.shape;
        match self.shapes {
            "slic" => superpixels(pixels, self.shape, self.wanted),
            _ => rectangles([h, w], self.wanted),
        }
    }

    /// Returns the image shown in covered pieces.
    pub(in crate::method) fn cover(&self, pixels: &[f32]) -> Vec<f32> {
        // A separate key coordinate: the random numbers of the passes start at the key itself.
        baseline(self.fill, pixels, self.shape, self.key.at(u64::MAX))
    }
}

impl Segments {
    /// Covers the pieces that are not `shown`.
    pub(in crate::method) fn cover(&self, image: &mut [f32], cover: &[f32], shown: &[bool]) {
        let area = self.labels.len();
        for (plane, cover) in image.chunks_mut(area).zip(cover.chunks(area)) {
            for ((pixel, cover), &piece) in plane.iter_mut().zip(cover).zip(&self.labels) {
                if !shown[piece] {
                    *pixel = *cover;
                }
            }
        }
    }

    /// Assigns each pixel the value of its piece.
    #[allow(clippy::cast_possible_truncation)]
    pub(in crate::method) fn paint(&self, values: &[f64]) -> Vec<f32> {
        self.labels.iter().map(|&piece| values[piece] as f32).collect()
    }
}

/// Returns the rows and columns of about `wanted` nearly square cells.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn cells([h, w]: [usize; 2], wanted: usize) -> [usize; 2] {
    let rows = (wanted as f64 * h as f64 / w as f64).sqrt().round() as usize;
    let rows = rows.clamp(1, h.min(wanted));
    [rows, (wanted / rows).clamp(1, w)]
}

fn rectangles([h, w]: [usize; 2], wanted: usize) -> Segments {
    let [rows, columns] = cells([h, w], wanted);
    let label = |pixel: usize| (pixel / w * rows / h) * columns + pixel % w * columns / w;
    Segments { labels: (0..h * w).map(label).collect(), count: rows * columns }
}

/// Computes SLIC superpixels: k-means over colour and position, with each centre searching only its neighbourhood.
/// Disconnected parts of a cluster stay one piece.
#[allow(clippy::cast_precision_loss)]
fn superpixels(pixels: &[f32], [c, h, w]: [usize; 3], wanted: usize) -> Segments {
    let start = rectangles([h, w], wanted);
    let [low, high] = extremes(pixels);
    let spacing = ((h * w) as f32 / start.count as f32).sqrt();
    let color = if high > low { 1.0 / (high - low) } else { 0.0 };
    // A pixel as a point: its channels, its row and its column.
    let point = |pixel: usize, axis: usize| match axis.checked_sub(c) {
        None => pixels[axis * h * w + pixel] * color,
        Some(0) => (pixel / w) as f32 * (COMPACTNESS / spacing),
        Some(_) => (pixel % w) as f32 * (COMPACTNESS / spacing),
    };
    let axes = c + 2;
    let mut labels = start.labels;
    for _ in 0..ROUNDS {
        let centres = centres(&labels, start.count, axes, &point);
        let mut nearest = vec![f32::INFINITY; h * w];
        for (number, centre) in centres.iter().enumerate().filter(|(_, centre)| !centre.is_empty()) {
            let place = |axis: usize| centre[c + axis] * (spacing / COMPACTNESS);
            let near = |at: usize, axis: usize| (at as f32 - place(axis)).abs() <= 2.0 * spacing;
            for y in (0..h).filter(|&y| near(y, 0)) {
                for pixel in (0..w).filter(|&x| near(x, 1)).map(|x| y * w + x) {
                    let distance: f32 = (0..axes).map(|a| (point(pixel, a) - centre[a]).powi(2)).sum();
                    if distance < nearest[pixel] {
                        (nearest[pixel], labels[pixel]) = (distance, number);
                    }
                }
            }
        }
    }
    renumbered(labels, start.count)
}

/// Returns the mean of each cluster's points; empty for an empty cluster.
#[allow(clippy::cast_precision_loss)]
fn centres(
    labels: &[usize],
    count: usize,
    axes: usize,
    point: &dyn Fn(usize, usize) -> f32,
) -> Vec<Vec<f32>> {
    let mut sums = vec![Vec::new(); count];
    let mut sizes = vec![0usize; count];
    for (pixel, &label) in labels.iter().enumerate() {
        sums[label].resize(axes, 0.0);
        sizes[label] += 1;
        sums[label].iter_mut().enumerate().for_each(|(axis, sum)| *sum += point(pixel, axis));
    }
    for (sum, size) in sums.iter_mut().zip(sizes) {
        sum.iter_mut().for_each(|s| *s /= size as f32);
    }
    sums
}

/// Renumbers the labels without gaps, preserving their order.
fn renumbered(mut labels: Vec<usize>, count: usize) -> Segments {
    let mut used = vec![false; count];
    labels.iter().for_each(|&label| used[label] = true);
    let mut next = 0;
    let number = |used: bool| {
        next += usize::from(used);
        next.saturating_sub(1)
    };
    let numbers: Vec<usize> = used.into_iter().map(number).collect();
    labels.iter_mut().for_each(|label| *label = numbers[*label]);
    Segments { labels, count: next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_are_nearly_square_and_as_many_as_wanted() {
        for (size, wanted, expected) in
            [([95, 95], 49, [7, 7]), ([40, 56], 12, [3, 4]), ([4, 400], 3, [1, 3]), ([5, 5], 25, [5, 5])]
        {
            assert_eq!(cells(size, wanted), expected, "{size:?} {wanted}");
            let segments = rectangles(size, wanted);
            let used: std::collections::BTreeSet<_> = segments.labels.iter().collect();
            assert_eq!(used.len(), segments.count);
            assert!(segments.count <= wanted);
        }
    }

    #[test]
    fn superpixels_follow_colours() {
        // Two halves of different brightness, with a border off any regular grid of 8 cells.
        let pixels: Vec<f32> = (0u8..240).map(|i| if i % 20 < 7 { 0.0 } else { 1.0 }).collect();
        let Segments { labels, count } = superpixels(&pixels, [1, 12, 20], 8);
        assert!((2..=8).contains(&count));
        assert_eq!(labels.iter().max(), Some(&(count - 1)));
        for (a, &left) in labels.iter().enumerate() {
            for (b, &right) in labels.iter().enumerate() {
                assert!(left != right || pixels[a] == pixels[b], "{a} and {b} are one piece");
            }
        }
        // An image of one colour is segmented by position alone.
        assert!(superpixels(&[0.5; 240], [1, 12, 20], 8).count >= 6);
    }
}
