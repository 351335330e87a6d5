//! Expected gradients.

use std::sync::Arc;

use crate::method::multi_pass::TargetProgram;
use crate::method::parts::{baseline, blur};
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};
use crate::random::{Key, Rng};

/// Registry entry. The paper draws references from the training set; here they are derived from the image itself,
/// because no other images are available.
pub(super) static EXPECTED_GRADIENTS: Method = Method {
    id: "expected_gradients",
    title: "Expected gradients",
    summary: "integrated gradients averaged over many images without information instead of one",
    formula: "mean over r and t of (x − r) · ∂y/∂x at r + t(x − r), r a random reference, t uniform in 0…1",
    paper: "Erion et al. 2021, Improving performance of deep learning models with axiomatic attribution priors and expected gradients, Nature Machine Intelligence",
    cost: "as many forward and backward passes as samples (200)",
    sanity: "not tested, as far as we know",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some("references come from the image itself, not from other images as in the paper"),
    parameters: &[
        MethodParameter {
            name: "samples",
            default: Setting::Count(200),
            summary: "pairs of a reference and a place on the way",
        },
        MethodParameter {
            name: "reference",
            default: Setting::Choice(&["shuffled", "uniform", "blurred"]),
            summary: "the image's pixels in random order, noise between its extremes, or the image more or less blurred",
        },
    ],
    work: Work::Passes(prepare),
};

/// Maximum standard deviation of a blurred reference, as a share of the image's shorter side.
const STRONGEST: f64 = 0.2;

#[derive(Debug)]
struct ExpectedGradients {
    gradient: Arc<TargetProgram>,
    shape: [usize; 3],
    samples: usize,
    reference: &'static str,
    key: Key,
}

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    Ok(Box::new(ExpectedGradients {
        gradient: context.gradient_program()?,
        shape: context.image_shape(),
        samples: context.chosen.count("samples")?,
        reference: context.chosen.choice("reference")?,
        key: context.key(),
    }))
}

impl ExpectedGradients {
    /// Draws the position on the path and the reference of a sample.
    fn draw(&self, sample: usize, pixels: &[f32]) -> (f64, Vec<f32>) {
        let key = self.key.at(sample as u64);
        let mut rng = key.rng();
        let t = rng.uniform_f64();
        let reference = match self.reference {
            "uniform" => baseline("uniform", pixels, self.shape, key.at(0)),
            "blurred" => self.blurred(pixels, &mut rng),
            _ => self.shuffled(pixels, &mut rng),
        };
        (t, reference)
    }

    #[allow(clippy::cast_precision_loss)]
    fn blurred(&self, pixels: &[f32], rng: &mut Rng) -> Vec<f32> {
        let [_, h, w] = self.shape;
        blur(pixels, self.shape, rng.between(0.0, STRONGEST * h.min(w) as f64))
    }

    /// Shuffles whole pixels, so that colours are preserved.
    fn shuffled(&self, pixels: &[f32], rng: &mut Rng) -> Vec<f32> {
        let [_, h, w] = self.shape;
        let mut order: Vec<usize> = (0..h * w).collect();
        rng.shuffle(&mut order);
        pixels.chunks(h * w).flat_map(|plane| order.iter().map(|&pixel| plane[pixel])).collect()
    }
}

impl MultiPass for ExpectedGradients {
    fn shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::back(self.samples)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let make = |sample: usize, image: &mut [f32]| {
            let (t, reference) = self.draw(sample, input.pixels);
            for (pixel, r) in image.iter_mut().zip(reference) {
                *pixel = (f64::from(r) + t * (f64::from(*pixel) - f64::from(r))) as f32;
            }
        };
        let mut sums = vec![0.0; input.pixels.len()];
        self.gradient.stream(input, self.samples, &make, &mut |sample, _, outputs| {
            let (_, reference) = self.draw(sample, input.pixels);
            for (((sum, &g), &x), r) in sums.iter_mut().zip(outputs[0]).zip(input.pixels).zip(reference) {
                *sum += f64::from(g) * (f64::from(x) - f64::from(r));
            }
        })?;
        Ok(sums.into_iter().map(|sum| (sum / self.samples as f64) as f32).collect())
    }
}
