//! Score-CAM and variants: channels weighted by the score of the image masked with them.

use std::sync::Arc;

use crate::bilinear::Enlargement;
use crate::extremes::extremes;
use crate::method::multi_pass::TargetProgram;
use crate::method::parts::blend;
use crate::method::{MethodError, MultiPass, PassContext, PassCount, PassInput};
use crate::model::Placement;
use crate::random::{Key, Rng};

/// Changes a channel's values (`h w`) in place for view `i`. The result is upsampled, normalized to 0…1 and
/// multiplied by the returned factor to give the mask.
pub(in crate::method) type View = fn(&Views, usize, &mut [f32], &mut Rng) -> f32;

/// Number and kind of the views of each channel.
#[derive(Clone, Copy, Debug)]
pub(in crate::method) struct Views {
    /// Number of views per channel.
    pub count: usize,
    /// Strength of the noise, if any.
    pub noise: f64,
    /// Change of the channel for view `i`.
    pub change: View,
}

/// The map Σₖ αₖ Aₖ, with α the softmax over channels of the mean score over channel k's views. A constant channel
/// has α = 0.
#[derive(Debug)]
pub(in crate::method) struct ChannelMasks {
    activations: Arc<TargetProgram>,
    score: Arc<TargetProgram>,
    /// Shape `[c, h, w]` of the layer.
    layer: [usize; 3],
    enlargement: Enlargement,
    views: Views,
    key: Key,
}

impl ChannelMasks {
    /// Prepares the programs for activations and score.
    pub(in crate::method) fn prepare(
        context: &PassContext<'_>,
        views: Views,
    ) -> Result<Box<dyn MultiPass>, MethodError> {
        let ([_, h, w], [_, height, width]) = (context.layer.shape, context.image_shape());
        let placement = Placement::new(context.layer.cells, [height, width]);
        Ok(Box::new(Self {
            activations: context.activations_program()?,
            score: context.score_program()?,
            layer: context.layer.shape,
            enlargement: Enlargement::placed([h, w], &placement, [height, width]),
            views,
            key: context.key(),
        }))
    }

    /// Returns the mask of one view of a channel, at the size of the image.
    fn mask(&self, channel: &[f32], number: usize) -> Vec<f32> {
        let mut plane = channel.to_vec();
        let mut rng = self.key.at(number as u64).rng();
        let factor = (self.views.change)(&self.views, number % self.views.count, &mut plane, &mut rng);
        let mut mask = self.enlargement.apply(&plane);
        let [low, high] = extremes(&mask);
        // Rounding may make equal values slightly unequal, but never the reverse.
        let scale = if high > low { factor / (high - low) } else { 0.0 };
        mask.iter_mut().for_each(|m| *m = (*m - low) * scale);
        mask
    }
}

impl MultiPass for ChannelMasks {
    fn shape(&self) -> Vec<usize> {
        self.layer[1..].to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.layer[0] * self.views.count + 1)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let [channels, h, w] = self.layer;
        let activations = self.activations.run(input.pixels, 1, input)?.swap_remove(0);
        let planes: Vec<&[f32]> = activations.chunks(h * w).collect();
        let shown: Vec<usize> = (0..channels).filter(|&k| varies(planes[k])).collect();
        let black = vec![0.0; input.pixels.len()];
        let make = |pass: usize, image: &mut [f32]| {
            let channel = shown[pass / self.views.count];
            let number = channel * self.views.count + pass % self.views.count;
            blend(image, &black, &self.mask(planes[channel], number));
        };
        let mut scores = vec![0.0; shown.len()];
        let total = shown.len() * self.views.count;
        self.score.stream(input, total, &make, &mut |pass, _, outputs| {
            scores[pass / self.views.count] += f64::from(outputs[0][0]) / self.views.count as f64;
        })?;
        let mut map = vec![0.0; h * w];
        for (weight, &channel) in softmax(&scores).into_iter().zip(&shown) {
            map.iter_mut().zip(planes[channel]).for_each(|(sum, &a)| *sum += weight * f64::from(a));
        }
        Ok(map.into_iter().map(|v| v as f32).collect())
    }
}

/// Returns true if the values are not all equal.
fn varies(plane: &[f32]) -> bool {
    let [low, high] = extremes(plane);
    high > low
}

/// Returns the softmax.
fn softmax(scores: &[f64]) -> Vec<f64> {
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|s| libm::exp(s - top)).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / total).collect()
}
