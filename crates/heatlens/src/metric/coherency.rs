//! Coherency (Poppi et al. 2021): similarity between the map and that of the image masked with it.

use crate::metric::perturbation::{Experiment, MapContext, PerturbFn, Perturbation, ResponseKind};
use crate::metric::similarity::pearson;
use crate::metric::upsampled::min_max;
use crate::metric::{Aspect, Better, Metric, UpsampledMap};

/// Explanation of the image multiplied by its heat.
pub(super) static EXPLAINED_AGAIN: Experiment = Experiment {
    id: "coherency",
    response: ResponseKind::Maps,
    passes: |_| 1,
    change: Perturbation::Map(masked),
};

/// Registry entry.
pub(super) static COHERENCY: Metric = Metric {
    id: "coherency",
    title: "Coherency",
    summary: "similarity between the heat of the image and the heat of the image masked with it",
    formula: "(1 + Pearson's r of heat(x) and heat(x ⊙ minmax heat(x))) ÷ 2",
    paper: "Poppi et al. 2021, Revisiting The Evaluation of Class Activation Mapping for Explainability, CVPR workshop, §3.2",
    better: Better::Higher,
    aspect: Aspect::Robustness,
    experiments: &[&EXPLAINED_AGAIN],
    needs_mask: false,
    read: |input| {
        let again = UpsampledMap::new(input.of(&EXPLAINED_AGAIN)?.maps.first()?, input.view.upsampled.size)?;
        Some(f64::midpoint(1.0, pearson(&input.view.upsampled.heat, &again.heat).unwrap_or(0.0)))
    },
};

fn masked<'a>(view: &'a MapContext<'a>) -> PerturbFn<'a> {
    let mask = min_max(&view.upsampled.heat);
    Box::new(move |_, image| {
        for plane in image.chunks_exact_mut(view.context.area().max(1)) {
            plane.iter_mut().zip(&mask).for_each(|(pixel, m)| *pixel *= m);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::perturbation::Responses;
    use crate::metric::tests::{attribution, read};

    #[test]
    fn the_same_map_is_coherent_and_the_opposite_is_not() {
        let of = |again: &[f32]| {
            let maps = vec![attribution("grad_cam", &[1, 3], again)];
            let responses = Responses { maps, ..Responses::default() };
            read(&COHERENCY, [1, 3], &[0.0, 1.0, 2.0], None, 0.9, &[(&EXPLAINED_AGAIN, responses)]).unwrap()
        };
        assert!((of(&[1.0, 3.0, 5.0]) - 1.0).abs() < 1e-9);
        assert!(of(&[2.0, 1.0, 0.0]) < 1e-9);
        assert!((of(&[0.0; 3]) - 0.5).abs() < 1e-9, "a map without heat says nothing");
    }
}
