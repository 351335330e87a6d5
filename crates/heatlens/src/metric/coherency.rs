//! Coherency (Poppi et al. 2021): similarity between the map and that of the image masked with it.

use crate::metric::experiment::{Asks, Change, Experiment, Make, View};
use crate::metric::similarity::pearson;
use crate::metric::surface::min_max;
use crate::metric::{Aspect, Better, Metric, Surface};

/// Explanation of the image multiplied by its heat.
pub(super) static EXPLAINED_AGAIN: Experiment =
    Experiment { id: "coherency", asks: Asks::Maps, passes: |_| 1, change: Change::Map(masked) };

/// Registry entry.
pub(super) static COHERENCY: Metric = Metric {
    id: "coherency",
    title: "Coherency",
    summary: "how alike the heat of the image is to that of the image masked with it",
    formula: "(1 + Pearson's r of heat(x) and heat(x ⊙ minmax heat(x))) ÷ 2",
    paper: "Poppi et al. 2021, Revisiting The Evaluation of Class Activation Mapping for Explainability, CVPR workshop, §3.2",
    better: Better::Higher,
    aspect: Aspect::Robustness,
    experiments: &[&EXPLAINED_AGAIN],
    needs_mask: false,
    read: |outcome| {
        let again = Surface::new(outcome.of(&EXPLAINED_AGAIN)?.maps.first()?, outcome.view.surface.size)?;
        Some(f64::midpoint(1.0, pearson(&outcome.view.surface.heat, &again.heat).unwrap_or(0.0)))
    },
};

fn masked<'a>(view: &'a View<'a>) -> Make<'a> {
    let mask = min_max(&view.surface.heat);
    Box::new(move |_, image| {
        for plane in image.chunks_exact_mut(view.scene.area().max(1)) {
            plane.iter_mut().zip(&mask).for_each(|(pixel, m)| *pixel *= m);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::experiment::Answers;
    use crate::metric::tests::{attribution, read};

    #[test]
    fn the_same_map_is_coherent_and_the_opposite_is_not() {
        let of = |again: &[f32]| {
            let maps = vec![attribution("grad_cam", &[1, 3], again)];
            let answers = Answers { maps, ..Answers::default() };
            read(&COHERENCY, [1, 3], &[0.0, 1.0, 2.0], None, 0.9, &[(&EXPLAINED_AGAIN, answers)]).unwrap()
        };
        assert!((of(&[1.0, 3.0, 5.0]) - 1.0).abs() < 1e-9);
        assert!(of(&[2.0, 1.0, 0.0]) < 1e-9);
        assert!((of(&[0.0; 3]) - 0.5).abs() < 1e-9, "a map without heat says nothing");
    }
}
