//! Blur integrated gradients.

use std::sync::Arc;

use crate::method::multi_pass::TargetProgram;
use crate::method::parts::blur;
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};

/// Registry entry. Each step multiplies the gradient at its midpoint by the change of the image, so that the
/// changes add up to x − x blurred. The image is mirrored at the border: a uniform image stays uniform, whereas the
/// authors' program darkens its border.
pub(super) static BLUR_IG: Method = Method {
    id: "blur_ig",
    title: "Blur integrated gradients",
    summary: "how much each pixel adds to the score on the way from the blurred image to the sharp one",
    formula: "−∫ ∂y/∂x at L(x, σ) · ∂L(x, σ)/∂σ dσ from 0 to the largest σ, L Gaussian blur; the sum is y(x) − y(x blurred)",
    paper: "Xu et al. 2020, Attribution in Scale and Space, CVPR",
    cost: "as many forward and backward passes as steps (50)",
    sanity: "not tested, as far as we know",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some("what survives blurring, such as large even areas, gets little, however much it matters"),
    parameters: &[
        MethodParameter {
            name: "steps",
            default: Setting::Count(50),
            summary: "steps from blurred to sharp",
        },
        MethodParameter {
            name: "blur",
            default: Setting::Number(0.2),
            summary: "largest standard deviation of the blur, as a share of the image's shorter side",
        },
    ],
    work: Work::Passes(prepare),
};

#[derive(Debug)]
struct BlurIg {
    gradient: Arc<TargetProgram>,
    shape: [usize; 3],
    steps: usize,
    largest: f64,
}

#[allow(clippy::cast_precision_loss)]
fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let [_, h, w] = context.image_shape();
    Ok(Box::new(BlurIg {
        gradient: context.gradient_program()?,
        shape: context.image_shape(),
        steps: context.chosen.count("steps")?,
        largest: context.chosen.number_between("blur", 0.0, 1.0)? * h.min(w) as f64,
    }))
}

impl BlurIg {
    /// Returns the image after `at` steps from sharp to blurred.
    #[allow(clippy::cast_precision_loss)]
    fn level(&self, pixels: &[f32], at: f64) -> Vec<f32> {
        blur(pixels, self.shape, self.largest * at / self.steps as f64)
    }
}

impl MultiPass for BlurIg {
    fn shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::back(self.steps)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let make = |step: usize, image: &mut [f32]| {
            image.copy_from_slice(&self.level(input.pixels, step as f64 + 0.5));
        };
        let mut sums = vec![0.0; input.pixels.len()];
        let mut sharper = input.pixels.to_vec();
        self.gradient.stream(input, self.steps, &make, &mut |step, _, outputs| {
            let softer = self.level(input.pixels, (step + 1) as f64);
            for (((sum, &g), a), b) in sums.iter_mut().zip(outputs[0]).zip(&sharper).zip(&softer) {
                *sum += f64::from(g) * (f64::from(*a) - f64::from(*b));
            }
            sharper = softer;
        })?;
        Ok(sums.into_iter().map(|sum| sum as f32).collect())
    }
}
