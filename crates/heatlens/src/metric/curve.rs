//! Insertion and deletion (Petsiuk et al. 2018, RISE, §4.2): the class probability while the most relevant pixels
//! are removed from the image, or inserted into a blurred one. The ends of the curves are the same for every
//! method, so only the steps in between are computed for each map.

use crate::method::blur;
use crate::metric::perturbation::{
    Experiment, ImageContext, MapContext, MetricInput, MetricPlan, PerturbFn, Perturbation, ResponseKind,
};
use crate::metric::{Aspect, Better, Metric};

/// Standard deviation of the blur in pixels, for the start of insertion.
const BLUR: f64 = 5.0;

/// The empty image: zeros in the model's input.
static ERASED: Experiment = Experiment {
    id: "erased",
    response: ResponseKind::Scores,
    passes: |_| 1,
    change: Perturbation::Image(erased),
};

/// The blurred image.
static BLURRED: Experiment = Experiment {
    id: "blurred",
    response: ResponseKind::Scores,
    passes: |_| 1,
    change: Perturbation::Image(blurred),
};

/// The image with its most relevant pixels set to 0.
static DELETED: Experiment = Experiment {
    id: "deletion",
    response: ResponseKind::Scores,
    passes: inner,
    change: Perturbation::Map(deleted),
};

/// The blurred image with the most relevant pixels inserted.
static INSERTED: Experiment = Experiment {
    id: "insertion",
    response: ResponseKind::Scores,
    passes: inner,
    change: Perturbation::Map(inserted),
};

/// Registry entry.
pub(super) static DELETION: Metric = Metric {
    id: "deletion",
    title: "Deletion",
    summary: "mean probability of the class while the most relevant pixels are set to 0, step by step",
    formula: "the area under p(class) over the share of pixels taken out, by trapezoids",
    paper: "Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC, §4.2",
    better: Better::Lower,
    aspect: Aspect::Faithfulness,
    experiments: &[&ERASED, &DELETED],
    needs_mask: false,
    read: |input| area(Some(input.unchanged.probability), input, &DELETED, end(input, &ERASED)),
};

/// Registry entry.
pub(super) static INSERTION: Metric = Metric {
    id: "insertion",
    title: "Insertion",
    summary: "mean probability of the class while the most relevant pixels are restored in the blurred \
        image, step by step",
    formula: "the area under p(class) over the share of pixels put in, by trapezoids; blurred with σ = 5 pixels",
    paper: "Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC, §4.2",
    better: Better::Higher,
    aspect: Aspect::Faithfulness,
    experiments: &[&BLURRED, &INSERTED],
    needs_mask: false,
    read: |input| area(end(input, &BLURRED), input, &INSERTED, Some(input.unchanged.probability)),
};

fn inner(plan: &MetricPlan) -> usize {
    plan.steps.saturating_sub(1)
}

/// Returns the pixels changed at inner step `i`, counted from 0.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn changed<'v>(view: &MapContext<'v>, i: usize) -> &'v [u32] {
    let share = (i + 1) as f64 / view.context.plan.steps as f64;
    &view.order[..(share * view.order.len() as f64).round() as usize]
}

fn erased<'a>(_: &'a ImageContext<'a>) -> PerturbFn<'a> {
    Box::new(|_, image| image.fill(0.0))
}

fn blurred<'a>(context: &'a ImageContext<'a>) -> PerturbFn<'a> {
    Box::new(move |_, image| image.copy_from_slice(&blur(context.pixels, context.shape, BLUR)))
}

fn deleted<'a>(view: &'a MapContext<'a>) -> PerturbFn<'a> {
    Box::new(move |i, image| {
        for plane in image.chunks_exact_mut(view.context.area().max(1)) {
            changed(view, i).iter().for_each(|&at| plane[at as usize] = 0.0);
        }
    })
}

fn inserted<'a>(view: &'a MapContext<'a>) -> PerturbFn<'a> {
    let start = blur(view.context.pixels, view.context.shape, BLUR);
    Box::new(move |i, image| {
        image.copy_from_slice(&start);
        let area = view.context.area().max(1);
        for (plane, own) in image.chunks_exact_mut(area).zip(view.context.pixels.chunks_exact(area)) {
            changed(view, i).iter().for_each(|&at| plane[at as usize] = own[at as usize]);
        }
    })
}

fn end(input: &MetricInput<'_>, experiment: &Experiment) -> Option<f64> {
    input.of(experiment)?.probability(0)
}

/// Returns the area under a curve with equal steps, by the trapezoidal rule.
#[allow(clippy::cast_precision_loss)]
fn area(first: Option<f64>, input: &MetricInput<'_>, inner: &Experiment, last: Option<f64>) -> Option<f64> {
    let between = &input.of(inner)?.scores;
    let sum: f64 = between.iter().map(|c| c.probability).sum();
    Some(((first? + last?) / 2.0 + sum) / (between.len() + 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::{read, responses};

    #[test]
    fn areas_by_hand() {
        let inner: Vec<f64> = (1u8..10).map(|i| 1.0 - f64::from(i) / 10.0).collect();
        let given = [(&ERASED, responses(&[0.0])), (&DELETED, responses(&inner))];
        let found = read(&DELETION, [1, 2], &[1.0, 0.0], None, 1.0, &given).unwrap();
        assert!((found - 0.5).abs() < 1e-12, "{found}");
        let given = [(&BLURRED, responses(&[0.2])), (&INSERTED, responses(&[0.6]))];
        let found = read(&INSERTION, [1, 2], &[1.0, 0.0], None, 1.0, &given).unwrap();
        assert!((found - (0.2 / 2.0 + 0.6 + 0.5) / 2.0).abs() < 1e-12, "{found}");
        assert_eq!(read(&INSERTION, [1, 2], &[1.0, 0.0], None, 1.0, &[]), None);
    }
}
