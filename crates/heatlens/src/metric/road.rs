//! ROAD (Rong et al. 2022): pixels are removed and imputed from their neighbours, with a little noise, so that the
//! outline of the hole does not reveal the removed object.

use crate::metric::parts::impute;
use crate::metric::perturbation::{
    Experiment, MapContext, MetricInput, MetricPlan, PerturbFn, Perturbation, ResponseKind, Responses,
};
use crate::metric::{Aspect, Better, Metric};

/// Standard deviation of the noise, as a share of the image's range.
const NOISE: f32 = 0.01;

/// The image with its most relevant pixels imputed.
static WITHOUT_MOST: Experiment = Experiment {
    id: "road-morf",
    response: ResponseKind::Scores,
    passes: |plan: &MetricPlan| plan.road.len(),
    change: Perturbation::Map(without_most),
};

/// The image with its least relevant pixels imputed.
static WITHOUT_LEAST: Experiment = Experiment {
    id: "road-lerf",
    response: ResponseKind::Scores,
    passes: |plan: &MetricPlan| plan.road.len(),
    change: Perturbation::Map(without_least),
};

/// Registry entry.
pub(super) static ROAD_MORF: Metric = Metric {
    id: "road_morf",
    title: "ROAD, most relevant first",
    summary: "how the class's probability changes when the most relevant pixels are filled in from their neighbours",
    formula: "mean over shares removed of p(changed) − p(image)",
    paper: "Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution Methods, ICML",
    better: Better::Lower,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&WITHOUT_MOST],
    needs_mask: false,
    read: |input| mean_change(input, input.of(&WITHOUT_MOST)?),
};

/// Registry entry.
pub(super) static ROAD_LERF: Metric = Metric {
    id: "road_lerf",
    title: "ROAD, least relevant first",
    summary: "how the class's probability changes when the least relevant pixels are filled in from their neighbours",
    formula: "mean over shares removed of p(changed) − p(image)",
    paper: "Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution Methods, ICML",
    better: Better::Higher,
    aspect: Aspect::FaithfulnessToo,
    experiments: &[&WITHOUT_LEAST],
    needs_mask: false,
    read: |input| mean_change(input, input.of(&WITHOUT_LEAST)?),
};

/// Registry entry.
pub(super) static ROAD_COMBINED: Metric = Metric {
    id: "road_combined",
    title: "ROAD, combined",
    summary: "how much more the most relevant pixels matter than the least relevant ones, filled in from their neighbours",
    formula: "(LeRF − MoRF) ÷ 2",
    paper: "Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution Methods, ICML; combined as in pytorch-grad-cam",
    better: Better::Higher,
    aspect: Aspect::Faithfulness,
    experiments: &[&WITHOUT_MOST, &WITHOUT_LEAST],
    needs_mask: false,
    read: |input| Some(((ROAD_LERF.read)(input)? - (ROAD_MORF.read)(input)?) / 2.0),
};

fn without_most<'a>(view: &'a MapContext<'a>) -> PerturbFn<'a> {
    Box::new(move |i, image| remove(view, i, false, image))
}

fn without_least<'a>(view: &'a MapContext<'a>) -> PerturbFn<'a> {
    Box::new(move |i, image| remove(view, i, true, image))
}

/// Removes the most relevant pixels (or the least relevant, if `least`) and imputes them; `i` selects the share
/// kept from the plan.
fn remove(view: &MapContext<'_>, i: usize, least: bool, image: &mut [f32]) {
    let (context, order) = (&view.context, view.order);
    let removed = removed(order.len(), context.plan.road[i]);
    let removed = if least { &order[order.len() - removed..] } else { &order[..removed] };
    let mut missing = vec![false; order.len()];
    removed.iter().for_each(|&at| missing[at as usize] = true);
    impute(image, context.shape, &missing);
    let mut rng = context.key.at(u64::from(least)).at(i as u64).rng();
    let strength = f64::from(NOISE * context.range());
    for plane in image.chunks_exact_mut(order.len().max(1)) {
        for (value, _) in plane.iter_mut().zip(&missing).filter(|(_, missing)| **missing) {
            #[allow(clippy::cast_possible_truncation)]
            let noise = (strength * rng.normal()) as f32;
            *value += noise;
        }
    }
}

/// Returns the number of pixels removed when those below the quantile `kept` remain.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn removed(pixels: usize, kept: f64) -> usize {
    let stay = (kept * pixels.saturating_sub(1) as f64).ceil() as usize;
    pixels - stay.min(pixels)
}

#[allow(clippy::cast_precision_loss)]
fn mean_change(input: &MetricInput<'_>, responses: &Responses) -> Option<f64> {
    let count = responses.scores.len();
    let sum: f64 = responses.scores.iter().map(|c| c.probability - input.unchanged.probability).sum();
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::UpsampledMap;
    use crate::metric::perturbation::ImageContext;
    use crate::metric::tests::{attribution, read, responses};
    use crate::random::{Key, Use};

    #[test]
    fn what_stays_is_what_numpy_keeps_below_a_percentile() {
        // numpy: (a < np.percentile(a, 20)).sum() for a = arange(n).
        assert_eq!([removed(10, 0.2), removed(11, 0.2), removed(100, 0.9)], [8, 9, 10]);
        assert_eq!([removed(1, 0.2), removed(0, 0.2)], [1, 0]);
    }

    #[test]
    fn least_goes_where_most_stays() {
        let (values, plan) = ((0u8..100).map(f32::from).collect::<Vec<f32>>(), MetricPlan::quick());
        let map = attribution("grad_cam", &[10, 10], &values);
        let (upsampled, key) = (UpsampledMap::new(&map, [10, 10]).unwrap(), Key::new(3, Use::Audit));
        let (order, pixels) = (upsampled.order(key), vec![0.5; 100]);
        let context = ImageContext { pixels: &pixels, shape: [1, 10, 10], mask: None, plan: &plan, key };
        let view = MapContext { context, attribution: &map, upsampled: &upsampled, order: &order };
        let changed = |make: PerturbFn<'_>, i: usize| {
            let mut image: Vec<f32> = (0..100).map(|k| if k % 3 == 0 { 1.0 } else { 0.0 }).collect();
            let before = image.clone();
            make(i, &mut image);
            (0..100).filter(|&k| image[k] != before[k]).collect::<Vec<_>>()
        };
        assert_eq!(changed(without_most(&view), 3), (80..100).collect::<Vec<_>>());
        assert_eq!(changed(without_least(&view), 3), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn changes_by_hand() {
        let given = [(&WITHOUT_MOST, responses(&[0.2, 0.4])), (&WITHOUT_LEAST, responses(&[0.8, 0.8]))];
        let found = |metric| read(metric, [1, 2], &[1.0, 0.0], None, 0.9, &given).unwrap();
        assert!((found(&ROAD_MORF) + 0.6).abs() < 1e-9);
        assert!((found(&ROAD_LERF) + 0.1).abs() < 1e-9);
        assert!((found(&ROAD_COMBINED) - 0.25).abs() < 1e-9);
    }
}
