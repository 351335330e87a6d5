//! Insertion and deletion (Petsiuk et al. 2018, RISE, §4.2): the class probability while the most relevant pixels
//! are removed from the image, or inserted into a blurred one. The ends of the curves are the same for every
//! method, so only the steps in between are computed for each map.

use crate::method::blur;
use crate::metric::experiment::{Asks, Change, Experiment, Make, Outcome, Plan, Scene, View};
use crate::metric::{Aspect, Better, Metric};

/// Standard deviation of the blur in pixels, for the start of insertion.
const BLUR: f64 = 5.0;

/// The empty image: zeros in the model's input.
static ERASED: Experiment =
    Experiment { id: "erased", asks: Asks::Scores, passes: |_| 1, change: Change::Image(erased) };

/// The blurred image.
static BLURRED: Experiment =
    Experiment { id: "blurred", asks: Asks::Scores, passes: |_| 1, change: Change::Image(blurred) };

/// The image with its most relevant pixels set to 0.
static DELETED: Experiment =
    Experiment { id: "deletion", asks: Asks::Scores, passes: inner, change: Change::Map(deleted) };

/// The blurred image with the most relevant pixels inserted.
static INSERTED: Experiment =
    Experiment { id: "insertion", asks: Asks::Scores, passes: inner, change: Change::Map(inserted) };

/// Registry entry.
pub(super) static DELETION: Metric = Metric {
    id: "deletion",
    title: "Deletion",
    summary: "how long the class survives while the most relevant pixels are set to 0",
    formula: "the area under p(class) over the share of pixels taken out, by trapezoids",
    paper: "Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC, §4.2",
    better: Better::Lower,
    aspect: Aspect::Faithfulness,
    experiments: &[&ERASED, &DELETED],
    needs_mask: false,
    read: |outcome| area(Some(outcome.unchanged.probability), outcome, &DELETED, end(outcome, &ERASED)),
};

/// Registry entry.
pub(super) static INSERTION: Metric = Metric {
    id: "insertion",
    title: "Insertion",
    summary: "how soon the class appears while the most relevant pixels are put into the blurred image",
    formula: "the area under p(class) over the share of pixels put in, by trapezoids; blurred with σ = 5 pixels",
    paper: "Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC, §4.2",
    better: Better::Higher,
    aspect: Aspect::Faithfulness,
    experiments: &[&BLURRED, &INSERTED],
    needs_mask: false,
    read: |outcome| area(end(outcome, &BLURRED), outcome, &INSERTED, Some(outcome.unchanged.probability)),
};

fn inner(plan: &Plan) -> usize {
    plan.steps.saturating_sub(1)
}

/// Returns the pixels changed at inner step `i`, counted from 0.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn changed<'v>(view: &View<'v>, i: usize) -> &'v [u32] {
    let share = (i + 1) as f64 / view.scene.plan.steps as f64;
    &view.order[..(share * view.order.len() as f64).round() as usize]
}

fn erased<'a>(_: &'a Scene<'a>) -> Make<'a> {
    Box::new(|_, image| image.fill(0.0))
}

fn blurred<'a>(scene: &'a Scene<'a>) -> Make<'a> {
    Box::new(move |_, image| image.copy_from_slice(&blur(scene.pixels, scene.shape, BLUR)))
}

fn deleted<'a>(view: &'a View<'a>) -> Make<'a> {
    Box::new(move |i, image| {
        for plane in image.chunks_exact_mut(view.scene.area().max(1)) {
            changed(view, i).iter().for_each(|&at| plane[at as usize] = 0.0);
        }
    })
}

fn inserted<'a>(view: &'a View<'a>) -> Make<'a> {
    let start = blur(view.scene.pixels, view.scene.shape, BLUR);
    Box::new(move |i, image| {
        image.copy_from_slice(&start);
        let area = view.scene.area().max(1);
        for (plane, own) in image.chunks_exact_mut(area).zip(view.scene.pixels.chunks_exact(area)) {
            changed(view, i).iter().for_each(|&at| plane[at as usize] = own[at as usize]);
        }
    })
}

fn end(outcome: &Outcome<'_>, experiment: &Experiment) -> Option<f64> {
    outcome.of(experiment)?.probability(0)
}

/// Returns the area under a curve with equal steps, by the trapezoidal rule.
#[allow(clippy::cast_precision_loss)]
fn area(first: Option<f64>, outcome: &Outcome<'_>, inner: &Experiment, last: Option<f64>) -> Option<f64> {
    let between = &outcome.of(inner)?.scores;
    let sum: f64 = between.iter().map(|c| c.probability).sum();
    Some(((first? + last?) / 2.0 + sum) / (between.len() + 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::{answers, read};

    #[test]
    fn areas_by_hand() {
        let inner: Vec<f64> = (1u8..10).map(|i| 1.0 - f64::from(i) / 10.0).collect();
        let given = [(&ERASED, answers(&[0.0])), (&DELETED, answers(&inner))];
        let found = read(&DELETION, [1, 2], &[1.0, 0.0], None, 1.0, &given).unwrap();
        assert!((found - 0.5).abs() < 1e-12, "{found}");
        let given = [(&BLURRED, answers(&[0.2])), (&INSERTED, answers(&[0.6]))];
        let found = read(&INSERTION, [1, 2], &[1.0, 0.0], None, 1.0, &given).unwrap();
        assert!((found - (0.2 / 2.0 + 0.6 + 0.5) / 2.0).abs() < 1e-12, "{found}");
        assert_eq!(read(&INSERTION, [1, 2], &[1.0, 0.0], None, 1.0, &[]), None);
    }
}
