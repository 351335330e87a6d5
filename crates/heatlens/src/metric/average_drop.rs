//! Remaining class probability when the image is multiplied by its map. There are five definitions called "average
//! drop"; each has its own name here.

use crate::metric::perturbation::{
    Experiment, MapContext, MetricInput, PerturbFn, Perturbation, ResponseKind,
};
use crate::metric::upsampled::{by_largest, min_max};
use crate::metric::{Aspect, Better, Metric};

/// The image multiplied by its map, normalized in three ways.
pub(super) static MASKED: Experiment = Experiment {
    id: "masked",
    response: ResponseKind::Scores,
    passes: |_| 3,
    change: Perturbation::Map(masked),
};

/// Indices of the copies of [`MASKED`]: heat divided by its maximum, min-max-normalized heat, min-max-normalized
/// |map|.
const BY_LARGEST: usize = 0;
pub(super) const MIN_MAX: usize = 1;
const MEAN_ABS: usize = 2;

const CHATTOPADHAY: &str = "Chattopadhay et al. 2018, Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks, WACV, §4.1";

/// Registry entry.
pub(super) static AVERAGE_DROP: Metric = Metric {
    id: "average_drop",
    title: "Average drop",
    summary: "share of the class's probability that is lost when the image is masked with the heat",
    formula: "max(0, p(x) − p(x ⊙ heat ÷ max heat)) ÷ p(x)",
    paper: CHATTOPADHAY,
    better: Better::Lower,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&MASKED],
    needs_mask: false,
    read: |input| relative_drop(input, BY_LARGEST),
};

/// Registry entry.
pub(super) static AVERAGE_DROP_MIN_MAX: Metric = Metric {
    id: "average_drop_min_max",
    title: "Average drop (torchcam)",
    summary: "as average_drop, with the heat rescaled to 0…1 before masking",
    formula: "max(0, p(x) − p(x ⊙ minmax heat)) ÷ p(x)",
    paper: "the program torchcam, after Chattopadhay et al. 2018",
    better: Better::Lower,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&MASKED],
    needs_mask: false,
    read: |input| relative_drop(input, MIN_MAX),
};

/// Registry entry.
pub(super) static AVERAGE_DROP_ABSOLUTE: Metric = Metric {
    id: "average_drop_absolute",
    title: "Drop in confidence (pytorch-grad-cam)",
    summary: "how much of the class's probability is lost, as a difference instead of a share",
    formula: "max(0, p(x) − p(x ⊙ minmax heat))",
    paper: "the program pytorch-grad-cam, after Chattopadhay et al. 2018",
    better: Better::Lower,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&MASKED],
    needs_mask: false,
    read: |input| Some((input.unchanged.probability - masked_probability(input, MIN_MAX)?).max(0.0)),
};

/// Registry entry.
pub(super) static AVERAGE_DROP_MEAN_ABS: Metric = Metric {
    id: "average_drop_mean_abs",
    title: "Average drop (Xplique)",
    summary: "as average_drop, with the map's absolute value rescaled to 0…1",
    formula: "max(0, p(x) − p(x ⊙ minmax |map|)) ÷ p(x)",
    paper: "the program Xplique, after Chattopadhay et al. 2018",
    better: Better::Lower,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&MASKED],
    needs_mask: false,
    read: |input| relative_drop(input, MEAN_ABS),
};

/// Registry entry.
pub(super) static AVERAGE_INCREASE: Metric = Metric {
    id: "average_increase",
    title: "Average increase",
    summary: "share of images in which the class's probability rises when they are masked with the heat",
    formula: "1 if p(x ⊙ heat ÷ max heat) > p(x), else 0",
    paper: CHATTOPADHAY,
    better: Better::Higher,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&MASKED],
    needs_mask: false,
    read: |input| {
        Some(f64::from(u8::from(masked_probability(input, BY_LARGEST)? > input.unchanged.probability)))
    },
};

/// Registry entry.
pub(super) static AVERAGE_GAIN: Metric = Metric {
    id: "average_gain",
    title: "Average gain",
    summary: "share of the missing probability (1 − p) that is gained when the image is masked with the heat",
    formula: "max(0, p(x ⊙ heat ÷ max heat) − p(x)) ÷ (1 − p(x))",
    paper: "Zhang et al. 2024, Opti-CAM: Optimizing saliency maps for interpretability, CVIU, §4.2",
    better: Better::Higher,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&MASKED],
    needs_mask: false,
    read: |input| {
        let (p, masked) = (input.unchanged.probability, masked_probability(input, BY_LARGEST)?);
        Some(if p < 1.0 { (masked - p).max(0.0) / (1.0 - p) } else { 0.0 })
    },
};

fn masked<'a>(view: &'a MapContext<'a>) -> PerturbFn<'a> {
    let sizes: Vec<f32> = view.upsampled.signed.iter().map(|v| v.abs()).collect();
    let masks = [by_largest(&view.upsampled.heat), min_max(&view.upsampled.heat), min_max(&sizes)];
    Box::new(move |i, image| {
        for plane in image.chunks_exact_mut(view.context.area().max(1)) {
            plane.iter_mut().zip(&masks[i]).for_each(|(pixel, m)| *pixel *= m);
        }
    })
}

fn masked_probability(input: &MetricInput<'_>, scaling: usize) -> Option<f64> {
    input.of(&MASKED)?.probability(scaling)
}

/// Returns the share of the probability that is lost; 0 if the probability is 0.
pub(super) fn relative_drop(input: &MetricInput<'_>, scaling: usize) -> Option<f64> {
    let (p, masked) = (input.unchanged.probability, masked_probability(input, scaling)?);
    Some(if p > 0.0 { (p - masked).max(0.0) / p } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::{read, responses};

    #[test]
    fn drops_by_hand() {
        let of = |metric, p: f64, masked: [f64; 3]| {
            read(metric, [1, 2], &[1.0, 0.0], None, p, &[(&MASKED, responses(&masked))]).unwrap()
        };
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(of(&AVERAGE_DROP, 0.8, [0.2, 0.4, 0.6]), 0.75);
        near(of(&AVERAGE_DROP_MIN_MAX, 0.8, [0.2, 0.4, 0.6]), 0.5);
        near(of(&AVERAGE_DROP_ABSOLUTE, 0.8, [0.2, 0.4, 0.6]), 0.4);
        near(of(&AVERAGE_DROP_MEAN_ABS, 0.8, [0.2, 0.4, 0.6]), 0.25);
        near(of(&AVERAGE_DROP, 0.8, [0.9, 0.9, 0.9]), 0.0);
        near(of(&AVERAGE_INCREASE, 0.8, [0.9, 0.0, 0.0]), 1.0);
        near(of(&AVERAGE_INCREASE, 0.8, [0.8, 0.9, 0.9]), 0.0);
        near(of(&AVERAGE_GAIN, 0.8, [0.9, 0.0, 0.0]), 0.5);
        near(of(&AVERAGE_GAIN, 1.0, [0.9, 0.0, 0.0]), 0.0);
    }
}
