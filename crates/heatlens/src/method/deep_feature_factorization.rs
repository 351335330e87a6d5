//! Deep feature factorization.

use std::sync::Arc;

use crate::method::multi_pass::TargetProgram;
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};
use crate::random::{Key, Rng};

/// Registry entry.
pub(super) static DEEP_FEATURE_FACTORIZATION: Method = Method {
    id: "deep_feature_factorization",
    title: "Deep feature factorization",
    summary: "the few patterns that the layer's activations are made of, and where each of them is, whatever the class",
    formula: "A ≈ W H with W, H ≥ 0 (places × concepts, concepts × channels), least squares; the maps are W's columns",
    paper: "Collins et al. 2018, Deep Feature Factorization for Concept Discovery, ECCV; updates by Lee and Seung 2001",
    cost: "1 forward pass and a factorisation",
    sanity: "not tested, as far as we know; it does not depend on the class",
    kind: MapKind::Concepts,
    uses_layer: true,
    caution: Some("patterns of this image alone, in no order of importance to the class"),
    parameters: &[
        MethodParameter { name: "concepts", default: Setting::Count(4), summary: "how many patterns" },
        MethodParameter {
            name: "iterations",
            default: Setting::Count(200),
            summary: "updates of the factors",
        },
    ],
    work: Work::Passes(prepare),
};

/// Maximum number of concepts; more would not be a summary.
const MOST_CONCEPTS: usize = 64;

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let [channels, h, w] = context.layer.shape;
    let most = MOST_CONCEPTS.min(channels).min(h * w);
    let too_many = || {
        let places = h * w;
        format!("of a layer with {channels} channels and {places} places; use {most} or fewer")
    };
    let concepts = context.count_that_fits("concepts", |concepts| concepts <= most, most, too_many)?;
    Ok(Box::new(Factorization {
        shape: [concepts, h, w],
        iterations: context.chosen.count("iterations")?,
        key: context.key(),
        activations: context.activations_program()?,
    }))
}

#[derive(Debug)]
struct Factorization {
    shape: [usize; 3],
    iterations: usize,
    key: Key,
    activations: Arc<TargetProgram>,
}

impl MultiPass for Factorization {
    fn shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(1)
    }

    fn is_long(&self) -> bool {
        false
    }

    #[allow(clippy::cast_possible_truncation)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let planes = self.activations.run(input.pixels, 1, input)?.swap_remove(0);
        let [concepts, h, w] = self.shape;
        let factors = factorize(&planes, h * w, concepts, self.iterations, &mut self.key.rng());
        Ok(factors.into_iter().flatten().map(|v| v as f32).collect())
    }
}

/// Factorizes the activations into non-negative factors by multiplicative updates. Returns, for each concept, its
/// strength at every position, with patterns of unit length. For activations that may be negative, each channel's
/// minimum is subtracted.
fn factorize(
    planes: &[f32],
    area: usize,
    concepts: usize,
    iterations: usize,
    rng: &mut Rng,
) -> Vec<Vec<f64>> {
    let rows: Vec<Vec<f64>> = planes
        .chunks(area.max(1))
        .map(|plane| {
            let low = f64::from(plane.iter().copied().fold(0.0, f32::min));
            plane.iter().map(|&a| f64::from(a) - low).collect()
        })
        .collect();
    let scale = (rows.iter().flatten().sum::<f64>() / (planes.len().max(1) * concepts) as f64).sqrt();
    let mut start = |len: usize| -> Vec<f64> { (0..len).map(|_| scale * rng.uniform_f64()).collect() };
    // places[k]: positions of concept k; patterns[k]: channels of concept k.
    let mut places: Vec<Vec<f64>> = (0..concepts).map(|_| start(area)).collect();
    let mut patterns: Vec<Vec<f64>> = (0..concepts).map(|_| start(rows.len())).collect();
    let columns: Vec<Vec<f64>> = (0..area).map(|i| rows.iter().map(|row| row[i]).collect()).collect();
    for _ in 0..iterations {
        update(&mut patterns, &places, &rows);
        update(&mut places, &patterns, &columns);
    }
    for (place, pattern) in places.iter_mut().zip(&patterns) {
        let length = dot(pattern, pattern).sqrt();
        place.iter_mut().for_each(|v| *v *= length);
    }
    places
}

/// Updates x ← x · (V yᵀ) ÷ (x y yᵀ), element by element; the squared error never increases (Lee and Seung 2001).
fn update(x: &mut [Vec<f64>], y: &[Vec<f64>], v: &[Vec<f64>]) {
    let gram: Vec<Vec<f64>> = y.iter().map(|a| y.iter().map(|b| dot(a, b)).collect()).collect();
    for (i, row) in v.iter().enumerate() {
        let old: Vec<f64> = x.iter().map(|x| x[i]).collect();
        for (k, x) in x.iter_mut().enumerate() {
            let below = dot(&gram[k], &old);
            x[i] = if below > 0.0 { old[k] * dot(row, &y[k]) / below } else { 0.0 };
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Use;

    #[test]
    fn two_patterns_are_found_where_they_are() {
        // Channels (1, 2, 0) at the first three positions, (0, 1, 3) at the others, at various strengths.
        let strength = [1.0f32, 2.0, 0.5, 1.5, 3.0, 1.0];
        let channel = |a: f32, b: f32| (0..6).map(move |i| strength[i] * if i < 3 { a } else { b });
        let planes: Vec<f32> = channel(1.0, 0.0).chain(channel(2.0, 1.0)).chain(channel(0.0, 3.0)).collect();
        let mut rng = Key::new(1, Use::Explain).rng();
        let maps = factorize(&planes, 6, 2, 5000, &mut rng);
        let (first, second) =
            if maps[0][0] > maps[1][0] { (&maps[0], &maps[1]) } else { (&maps[1], &maps[0]) };
        for i in 0..6 {
            let (a, b) = if i < 3 { (5.0f64.sqrt(), 0.0) } else { (0.0, 10.0f64.sqrt()) };
            let size = f64::from(strength[i]);
            assert!((first[i] - a * size).abs() < 0.02, "{first:?}");
            assert!((second[i] - b * size).abs() < 0.02, "{second:?}");
        }
    }

    #[test]
    fn nothing_has_no_patterns() {
        let maps = factorize(&[0.0; 12], 4, 2, 10, &mut Key::new(1, Use::Explain).rng());
        assert!(maps.iter().flatten().all(|v| *v == 0.0));
    }
}
