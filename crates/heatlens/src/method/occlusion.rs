//! Occlusion.

use std::sync::Arc;

use crate::method::multi_pass::TargetProgram;
use crate::method::parts::baseline;
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};
use crate::random::Key;

/// Registry entry. Other implementations swap rows and columns of images that are not square, or show 1 − p instead
/// of the drop.
pub(super) static OCCLUSION: Method = Method {
    id: "occlusion",
    title: "Occlusion",
    summary: "how much the score drops when a window is covered, averaged over the windows that cover a place",
    formula: "mean over the windows W that hold the place of y(x) − y(x with W covered)",
    paper: "Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks, ECCV",
    cost: "1 forward pass, and 1 for each window",
    sanity: "not tested, as far as we know; it sees the model only through its scores",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some("the model was never trained on images with a covered window: compare zero and mean"),
    parameters: &[
        MethodParameter {
            name: "window",
            default: Setting::Count(16),
            summary: "side of the window in pixels",
        },
        MethodParameter {
            name: "stride",
            default: Setting::Count(8),
            summary: "pixels from window to window",
        },
        MethodParameter {
            name: "fill",
            default: Setting::Choice(&["zero", "mean"]),
            summary: "what covers: zero, or each channel's mean",
        },
    ],
    work: Work::Passes(prepare),
};

#[derive(Debug)]
struct Occlusion {
    score: Arc<TargetProgram>,
    shape: [usize; 3],
    window: usize,
    stride: usize,
    /// Number of windows, vertically and horizontally.
    counts: [usize; 2],
    fill: &'static str,
    key: Key,
}

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let [_, h, w] = context.image_shape();
    let side = h.min(w);
    // A default window so large that only one fits along an axis would not localize anything.
    let most = if context.chosen.is_set("window") { side } else { side.div_ceil(2) };
    let window = context.count_that_fits(
        "window",
        |window| window <= most,
        side.div_ceil(4),
        || format!("the image is only {h} pixels high and {w} wide; use a window of {side} or less"),
    )?;
    let stride = context.count_that_fits(
        "stride",
        |stride| stride <= window,
        window.div_ceil(2),
        || format!("windows of {window} this far apart leave some pixels uncovered"),
    )?;
    Ok(Box::new(Occlusion {
        score: context.score_program()?,
        shape: context.image_shape(),
        window,
        stride,
        counts: [h, w].map(|side| (side - window).div_ceil(stride) + 1),
        fill: context.chosen.choice("fill")?,
        key: context.key(),
    }))
}

impl Occlusion {
    /// Returns the pixel range of each row under a window, clipped at the far border.
    fn rows(&self, number: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let [_, h, w] = self.shape;
        let [top, left] = [number / self.counts[1], number % self.counts[1]].map(|i| i * self.stride);
        let (bottom, right) = ((top + self.window).min(h), (left + self.window).min(w));
        (top..bottom).map(move |y| y * w + left..y * w + right)
    }
}

impl MultiPass for Occlusion {
    fn shape(&self) -> Vec<usize> {
        self.shape[1..].to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.counts[0] * self.counts[1] + 1)
    }

    #[allow(clippy::cast_possible_truncation)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let area = self.shape[1] * self.shape[2];
        let fill = baseline(self.fill, input.pixels, self.shape, self.key);
        let make = |number: usize, image: &mut [f32]| {
            // The last image is unchanged.
            if number == self.counts[0] * self.counts[1] {
                return;
            }
            for row in self.rows(number) {
                for (plane, fill) in image.chunks_mut(area).zip(fill.chunks(area)) {
                    plane[row.clone()].copy_from_slice(&fill[row.clone()]);
                }
            }
        };
        let (mut sums, mut covers, mut whole) = (vec![0.0; area], vec![0.0; area], 0.0);
        let total = self.counts[0] * self.counts[1] + 1;
        self.score.stream(input, total, &make, &mut |number, _, outputs| {
            let score = f64::from(outputs[0][0]);
            if number + 1 == total {
                whole = score;
                return;
            }
            for pixel in self.rows(number).flatten() {
                sums[pixel] += score;
                covers[pixel] += 1.0;
            }
        })?;
        Ok(sums.iter().zip(covers).map(|(sum, covers)| (whole - sum / covers) as f32).collect())
    }
}
