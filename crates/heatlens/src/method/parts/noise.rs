//! Gradients of noisy copies of an image, and their statistics.

use std::sync::Arc;

use crate::extremes::extremes;
use crate::method::multi_pass::TargetProgram;
use crate::method::{MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting};
use crate::random::Key;

/// The parameter for the strength of the noise.
pub(in crate::method) const NOISE: MethodParameter = MethodParameter {
    name: "noise",
    default: Setting::Number(0.15),
    summary: "standard deviation of the noise, as a share of the image's range",
};

/// Returns a function that adds Gaussian noise to an image, different for every sample.
#[allow(clippy::cast_possible_truncation)]
pub(in crate::method) fn noisy(
    input: &PassInput<'_>,
    noise: f64,
    key: Key,
) -> impl Fn(usize, &mut [f32]) + Sync + use<> {
    let [low, high] = extremes(input.pixels);
    let sigma = noise * f64::from(high - low);
    move |sample, image| {
        let mut rng = key.at(sample as u64).rng();
        image.iter_mut().for_each(|pixel| *pixel += (sigma * rng.normal()) as f32);
    }
}

/// Running mean and spread of many arrays, element by element (Welford 1962).
#[derive(Clone, Debug)]
pub(in crate::method) struct Moments {
    /// Number of arrays.
    pub count: f64,
    /// Mean.
    pub mean: Vec<f64>,
    /// Sum of squared deviations from the mean.
    pub deviation: Vec<f64>,
}

impl Moments {
    /// Creates empty moments.
    pub(in crate::method) fn new(len: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; len], deviation: vec![0.0; len] }
    }

    /// Adds one array.
    pub(in crate::method) fn add(&mut self, values: &[f32]) {
        self.count += 1.0;
        for ((mean, deviation), &value) in self.mean.iter_mut().zip(&mut self.deviation).zip(values) {
            let before = f64::from(value) - *mean;
            *mean += before / self.count;
            *deviation += before * (f64::from(value) - *mean);
        }
    }
}

/// A statistic of the gradients at `samples` noisy copies of the image.
#[derive(Debug)]
pub(in crate::method) struct NoisyGradients {
    gradient: Arc<TargetProgram>,
    shape: [usize; 3],
    samples: usize,
    noise: f64,
    key: Key,
    statistic: fn(&Moments) -> Vec<f64>,
}

impl NoisyGradients {
    /// Parameters that can be set.
    pub(in crate::method) const PARAMETERS: &'static [MethodParameter] = &[
        MethodParameter {
            name: "samples",
            default: Setting::Count(50),
            summary: "noisy copies of the image",
        },
        NOISE,
    ];

    /// Prepares the gradient program.
    pub(in crate::method) fn prepare(
        context: &PassContext<'_>,
        statistic: fn(&Moments) -> Vec<f64>,
    ) -> Result<Box<dyn MultiPass>, MethodError> {
        let samples = context.chosen.count("samples")?;
        let noise = context.chosen.number_between("noise", 0.0, 10.0)?;
        let (shape, key) = (context.image_shape(), context.key());
        Ok(Box::new(Self { gradient: context.gradient_program()?, shape, samples, noise, key, statistic }))
    }
}

impl MultiPass for NoisyGradients {
    fn shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::back(self.samples)
    }

    #[allow(clippy::cast_possible_truncation)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let make = noisy(input, self.noise, self.key);
        let mut moments = Moments::new(input.pixels.len());
        self.gradient.stream(input, self.samples, &make, &mut |_, _, outputs| moments.add(outputs[0]))?;
        Ok((self.statistic)(&moments).into_iter().map(|v| v as f32).collect())
    }
}
