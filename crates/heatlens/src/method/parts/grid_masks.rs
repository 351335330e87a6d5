//! Coarse masks, smoothly upsampled to the image; used by Sobol, HSIC and extremal perturbation.

use crate::bilinear::Enlargement;
use crate::method::parts::{baseline, blend};
use crate::method::{MethodError, MethodParameter, PassContext, Setting};
use crate::random::Key;

/// Maximum number of cells per side; each cell costs passes.
const FINEST: usize = 32;

/// A grid of cells over an image, and the fill for masked parts.
#[derive(Clone, Debug)]
pub(in crate::method) struct GridMasks {
    /// Number of cells per side.
    pub side: usize,
    shape: [usize; 3],
    enlargement: Enlargement,
    fill: &'static str,
    key: Key,
}

impl GridMasks {
    /// The parameter for the fill where a mask is 0.
    pub(in crate::method) const FILL: MethodParameter = MethodParameter {
        name: "fill",
        default: Setting::Choice(&["zero", "mean", "blur", "uniform"]),
        summary: "what shows where a mask is 0: zero, each channel's mean, the image blurred, or noise",
    };

    /// Creates the grid from the settings `grid` and `fill`; a default grid finer than the image gets one cell per
    /// pixel.
    pub(in crate::method) fn new(context: &PassContext<'_>) -> Result<Self, MethodError> {
        let [_, h, w] = context.image_shape();
        context.chosen.count_up_to("grid", FINEST)?;
        let too_fine = || format!("the image is only {h} pixels high and {w} wide");
        let side = context.count_that_fits("grid", |side| side <= h.min(w), h.min(w), too_fine)?;
        let enlargement = Enlargement::new([side, side], [h, w]);
        let (shape, key, fill) = (context.image_shape(), context.key(), context.chosen.choice("fill")?);
        Ok(Self { side, shape, enlargement, fill, key })
    }

    /// Returns the number of cells.
    pub(in crate::method) fn cells(&self) -> usize {
        self.side * self.side
    }

    /// Returns the image shown where a mask is 0.
    pub(in crate::method) fn cover(&self, pixels: &[f32]) -> Vec<f32> {
        // A separate key coordinate: the random numbers of the masks start at lower ones.
        baseline(self.fill, pixels, self.shape, self.key.at(u64::MAX))
    }

    /// Masks an image with the given cells.
    pub(in crate::method) fn apply(&self, image: &mut [f32], cover: &[f32], cells: &[f32]) {
        blend(image, cover, &self.enlargement.apply(cells));
    }

    /// Upsamples a mask to the size of the image.
    pub(in crate::method) fn enlarged(&self, cells: &[f32]) -> Vec<f32> {
        self.enlargement.apply(cells)
    }

    /// Converts a derivative with respect to the mask's pixels to one with respect to its cells.
    pub(in crate::method) fn gather(&self, pixels: &[f32]) -> Vec<f64> {
        self.enlargement.transposed(pixels, self.cells())
    }
}
