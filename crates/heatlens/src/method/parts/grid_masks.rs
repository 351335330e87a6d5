//! Masks of few cells, enlarged smoothly over an image: what Sobol, HSIC and extremal perturbation vary.

use crate::bilinear::Enlargement;
use crate::method::parts::{baseline, blend};
use crate::method::{MethodError, Parameter, Setting, Study};
use crate::random::Key;

/// The finest grid: each cell costs passes.
const FINEST: usize = 32;

/// A grid of cells over an image, and what shows where a mask is 0.
#[derive(Clone, Debug)]
pub(in crate::method) struct GridMasks {
    /// Cells of a side.
    pub side: usize,
    shape: [usize; 3],
    enlargement: Enlargement,
    fill: &'static str,
    key: Key,
}

impl GridMasks {
    /// What shows where a mask is 0.
    pub(in crate::method) const FILL: Parameter = Parameter {
        name: "fill",
        default: Setting::Choice(&["zero", "mean", "blur", "uniform"]),
        summary: "what shows where a mask is 0: zero, each channel's mean, the image blurred, or noise",
    };

    /// As the settings `grid` and `fill` say; a default grid finer than the image has one cell for each pixel.
    pub(in crate::method) fn new(study: &Study<'_>) -> Result<Self, MethodError> {
        let [_, h, w] = study.image_shape();
        study.chosen.count_up_to("grid", FINEST)?;
        let too_fine = || format!("the image is only {h} pixels high and {w} wide");
        let side = study.count_that_fits("grid", |side| side <= h.min(w), h.min(w), too_fine)?;
        let enlargement = Enlargement::new([side, side], [h, w]);
        let (shape, key, fill) = (study.image_shape(), study.key(), study.chosen.choice("fill")?);
        Ok(Self { side, shape, enlargement, fill, key })
    }

    /// How many cells.
    pub(in crate::method) fn cells(&self) -> usize {
        self.side * self.side
    }

    /// What shows where a mask is 0.
    pub(in crate::method) fn cover(&self, pixels: &[f32]) -> Vec<f32> {
        // Of its own coordinate: the masks' random numbers start at lower ones.
        baseline(self.fill, pixels, self.shape, self.key.at(u64::MAX))
    }

    /// Shows an image through a mask given by its cells.
    pub(in crate::method) fn apply(&self, image: &mut [f32], cover: &[f32], cells: &[f32]) {
        blend(image, cover, &self.enlargement.apply(cells));
    }

    /// A mask at the image's size.
    pub(in crate::method) fn enlarged(&self, cells: &[f32]) -> Vec<f32> {
        self.enlargement.apply(cells)
    }

    /// What a derivative with respect to the mask's pixels is with respect to its cells.
    pub(in crate::method) fn gather(&self, pixels: &[f32]) -> Vec<f64> {
        self.enlargement.transposed(pixels, self.cells())
    }
}
