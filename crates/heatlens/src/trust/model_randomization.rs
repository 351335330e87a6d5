//! Model parameter randomization test (Adebayo et al. 2018): a method's maps for the model are compared with those
//! for networks with random weights.
//!
//! The similarity of two maps is the mean of the rank correlation of their heat and the structural similarity of
//! the pictures. Each method has its own reference bounds. The upper bound is the similarity to its own maps under
//! imperceptible noise in the image: no map can be expected to remain more similar than that. The lower bound is
//! the similarity of its maps for *different* images, because borders and the architecture make any two maps
//! similar. If more than a third of the range between the bounds is retained when the weights are randomized, from
//! the model to random networks or from one random network to another, the method's maps are mostly independent of
//! the weights: it ignores the model. `edges`, a control that depends on the image alone, must remain identical.

mod comparable_map;
mod similarity_retained;

use serde_json::{Value, json};

use crate::explain::{ExplainError, ExplainOptions, Explainer};
use crate::extremes::extremes;
use crate::method::{self, Method, MethodError, MethodSettings};
use crate::model::Model;
use crate::random::{Key, Use};
use crate::stats::bootstrap::Bootstrap;
use crate::trust::audit::{MeanEstimate, MethodRandomization};
use crate::trust::randomise::Randomiser;

use comparable_map::{Alike, ComparableMap, compare, mean_of};
use similarity_retained::Comparison;
pub use similarity_retained::SimilarityRetained;

/// Imperceptible noise: the largest change of a pixel as a share of the image's range, as for the sensitivity
/// metrics.
const UNSEEN: f32 = 0.02;
/// Number of images explained together.
const TOGETHER: usize = 8;
/// Number of random networks for partial randomization, which does not affect the verdict.
const PART_SEEDS: usize = 5;

/// Amount of work of the randomization test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomizationPlan {
    /// Number of random networks.
    pub seeds: usize,
    /// Number of images with all layers randomized.
    pub images: usize,
    /// Number of images with a part of the layers randomized.
    pub images_by_part: usize,
}

impl RandomizationPlan {
    /// Default of an audit.
    #[must_use]
    pub fn quick() -> Self {
        // Maps differ more between random networks than between images.
        Self { seeds: 10, images: 8, images_by_part: 2 }
    }

    /// More work, for narrower intervals.
    #[must_use]
    pub fn full() -> Self {
        Self { seeds: 20, images: 16, images_by_part: 12 }
    }

    /// Returns the number of explanations needed if `images` images are available, all methods together.
    #[must_use]
    pub fn explained(&self, images: usize) -> usize {
        let (all, part) = (self.images.min(images), self.images_by_part.min(images));
        // Each image with and without noise, then the partial randomizations.
        2 * all * (1 + self.seeds) + 7 * self.seeds.min(PART_SEEDS) * part
    }
}

/// Result of the randomization test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RandomizationTest {
    /// Similarity of `edges` to itself: must be 1, or the comparison is broken.
    pub edges: f64,
    /// Smallest similarity between random networks among the audited methods.
    pub floor: f64,
    /// Results of the audited methods by id.
    pub methods: Vec<(String, MethodRandomization)>,
}

impl RandomizationTest {
    /// Returns the result of a method.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<&MethodRandomization> {
        self.methods.iter().find(|(known, _)| known == id).map(|(_, found)| found)
    }
}

/// Images to compare, with the classes to explain.
#[derive(Clone, Copy, Debug)]
pub struct PredictedImages<'a> {
    /// Pixels of all images, c·h·w values each.
    pub pixels: &'a [f32],
    /// Predicted class of each image.
    pub classes: &'a [usize],
}

impl PredictedImages<'_> {
    fn first(&self, n: usize) -> Self {
        let n = n.min(self.classes.len());
        let len = self.pixels.len() / self.classes.len().max(1);
        Self { pixels: &self.pixels[..n * len], classes: &self.classes[..n] }
    }
}

/// Called with the number of images just explained, 0 between two batches of one image's passes; returns false to request a
/// stop.
pub type Advance<'a> = dyn Fn(usize) -> bool + Sync + 'a;

/// Compares the methods' maps with those for random networks.
///
/// # Errors
/// If a method does not apply, or a random network cannot be computed, and [`MethodError::Stopped`] if `advance` requested
/// a stop.
pub fn measure(
    model: &Model,
    methods: &[&'static Method],
    settings: &MethodSettings,
    images: PredictedImages<'_>,
    plan: RandomizationPlan,
    advance: &Advance<'_>,
) -> Result<RandomizationTest, ExplainError> {
    let randomiser = Randomiser::new(model)?;
    let bounds = [method::edges(), method::gradient()];
    let mut all = methods.to_vec();
    all.extend(bounds.iter().filter(|y| methods.iter().all(|m| m.id != y.id)));
    let key = Key::new(settings.seed, Use::Audit).at(u64::MAX);
    let bench = Bench { randomiser, methods: all, settings, key, statistics_on: images };
    let whole = images.first(plan.images);
    let mut tallies: Vec<Tally> = vec![Tally::default(); bench.methods.len()];
    // By network, the model first.
    let mut pictures: Vec<Vec<Vec<ComparableMap>>> = Vec::new();
    for network in 0..=plan.seeds {
        let random;
        let network = match network.checked_sub(1) {
            None => model,
            Some(seed) => {
                random = bench.random(0..bench.randomiser.layers(), seed)?;
                &random
            }
        };
        // With and without noise together, so that each network is compiled once.
        let both = [whole.pixels, &noisy(whole, key.at(pictures.len() as u64))].concat();
        let both = PredictedImages { pixels: &both, classes: &whole.classes.repeat(2) };
        let mut maps = bench.maps(network, both, advance)?;
        for (m, tally) in tallies.iter_mut().enumerate() {
            let again = maps[m].split_off(whole.classes.len());
            tally.own.push(compare(&maps[m], &again, 0).into_iter().map(mean_of).collect());
            for (number, before) in pictures.iter().enumerate() {
                tally.compare([number, pictures.len()], &before[m], &maps[m]);
            }
        }
        pictures.push(maps);
    }
    let part = images.first(plan.images_by_part);
    let cuts = cuts(bench.randomiser.layers());
    let n = part.classes.len();
    for pair in cuts.windows(2) {
        for cascade in [true, false] {
            let from = if cascade { 0 } else { pair[0] };
            // Randomization of all layers is done already.
            if from == 0 && pair[1] == bench.randomiser.layers() || (cascade && pair[0] == 0) {
                continue;
            }
            for seed in 0..plan.seeds.min(PART_SEEDS) {
                let random = bench.random(from..pair[1], seed)?;
                let maps = bench.maps(&random, part, advance)?;
                for (m, tally) in tallies.iter_mut().enumerate() {
                    tally.parts.push(((from, pair[1]), compare(&pictures[0][m][..n], &maps[m], 0)));
                }
            }
        }
    }
    Ok(bench.conclude(methods, &tallies))
}

/// Adds uniform noise to the images.
fn noisy(images: PredictedImages<'_>, key: Key) -> Vec<f32> {
    let len = images.pixels.len() / images.classes.len().max(1);
    let noisy = |(i, image): (usize, &[f32])| {
        let [low, high] = extremes(image);
        let (radius, mut rng) = (UNSEEN * (high - low), key.at(i as u64).rng());
        image.iter().map(|pixel| pixel + (2.0 * rng.uniform() - 1.0) * radius).collect::<Vec<f32>>()
    };
    images.pixels.chunks(len.max(1)).enumerate().flat_map(noisy).collect()
}

/// Returns the boundaries that divide the layers into quarters.
fn cuts(layers: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..=4).map(|k| (layers * k).div_ceil(4)).collect();
    cuts.dedup();
    cuts
}

struct Bench<'a> {
    randomiser: Randomiser,
    methods: Vec<&'static Method>,
    settings: &'a MethodSettings,
    key: Key,
    statistics_on: PredictedImages<'a>,
}

#[derive(Clone, Default)]
struct Tally {
    /// By network, the model first, and by image: similarity of a map to that of the image with noise.
    own: Vec<Vec<f64>>,
    against_original: Vec<Comparison>,
    against_random: Vec<Comparison>,
    /// Similarity to the original, by seed, then by image.
    measures: Vec<Vec<Alike>>,
    /// Range of randomized layers, counted from the scores, and similarities by image.
    parts: Vec<((usize, usize), Vec<Alike>)>,
}

impl Bench<'_> {
    fn random(&self, layers: std::ops::Range<usize>, seed: usize) -> Result<Model, ExplainError> {
        let PredictedImages { pixels, classes } = self.statistics_on;
        self.randomiser.randomised(layers, self.key.at(seed as u64), pixels, classes.len())
    }

    /// Returns the pictures of all images for each method.
    fn maps(
        &self,
        model: &Model,
        images: PredictedImages<'_>,
        advance: &Advance<'_>,
    ) -> Result<Vec<Vec<ComparableMap>>, ExplainError> {
        let options = ExplainOptions {
            settings: self.settings.clone(),
            classes_given: true,
            ..ExplainOptions::new(&self.methods)
        };
        let explainer = Explainer::new(model, &options)?;
        let together = if explainer.takes_passes() { 1 } else { TOGETHER };
        let len = images.pixels.len() / images.classes.len().max(1);
        let mut maps: Vec<Vec<ComparableMap>> = vec![Vec::new(); self.methods.len()];
        for (pixels, classes) in
            images.pixels.chunks((together * len).max(1)).zip(images.classes.chunks(together))
        {
            for explanation in explainer.explain_for(pixels, classes, &|| !advance(0))? {
                for (maps, attribution) in maps.iter_mut().zip(&explanation.attributions) {
                    maps.push(ComparableMap::of(attribution));
                }
            }
            if !advance(classes.len()) {
                return Err(MethodError::Stopped.into());
            }
        }
        Ok(maps)
    }

    fn conclude(&self, methods: &[&'static Method], tallies: &[Tally]) -> RandomizationTest {
        let of = |id: &str| self.methods.iter().position(|m| m.id == id).and_then(|m| tallies.get(m));
        let controls = method::controls();
        let judged = self.methods.iter().zip(tallies).filter(|(m, _)| controls.iter().all(|c| c.id != m.id));
        let floor = judged.map(|(_, tally)| same(&tally.against_random)).fold(f64::INFINITY, f64::min);
        let edges = of(method::edges().id).map_or(1.0, |tally| same(&tally.against_original));
        let layers = self.randomiser.layers();
        let row = |m: &&'static Method| Some((m.id.to_owned(), of(m.id)?.conclude(self.key, layers)));
        let floor = if floor.is_finite() { floor } else { 0.0 };
        RandomizationTest { edges, floor, methods: methods.iter().filter_map(row).collect() }
    }
}

#[allow(clippy::cast_precision_loss)]
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, n), v| (sum + v, n + 1));
    sum / count.max(1) as f64
}

fn same(comparisons: &[Comparison]) -> f64 {
    mean(comparisons.iter().flat_map(|c| c.same.iter().copied()))
}

impl Tally {
    /// Compares the maps of two networks, the first of which may be the model (0).
    fn compare(&mut self, networks: [usize; 2], a: &[ComparableMap], b: &[ComparableMap]) {
        let measures = compare(a, b, 0);
        // The offset to another image varies with the pair of networks and is never 0.
        let others = a.len().saturating_sub(1);
        let other = match others {
            0 => vec![0.0; a.len()],
            _ => compare(a, b, 1 + (networks[0] + networks[1]) % others).into_iter().map(mean_of).collect(),
        };
        let comparison =
            Comparison { networks, same: measures.iter().copied().map(mean_of).collect(), other };
        if networks[0] == 0 {
            self.measures.push(measures);
            self.against_original.push(comparison);
        } else {
            self.against_random.push(comparison);
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn conclude(&self, key: Key, layers: usize) -> MethodRandomization {
        let images = self.against_original.first().map_or(0, |c| c.same.len());
        let of_image = |i: usize| Some(mean(self.against_original.iter().map(|c| c.same[i])));
        let by_image: Vec<Option<f64>> = (0..images).map(of_image).collect();
        let none = MeanEstimate { mean: 0.0, low: 0.0, high: 0.0, images: 0 };
        let one = |which: usize| mean(self.measures.iter().flatten().map(|alike| alike[which]));
        let share = |layer: usize| layer as f64 / layers.max(1) as f64;
        let mut parts: Vec<((usize, usize), Vec<Alike>)> = Vec::new();
        for (part, alike) in &self.parts {
            match parts.iter_mut().find(|(known, _)| known == part) {
                Some((_, all)) => all.extend_from_slice(alike),
                None => parts.push((*part, alike.clone())),
            }
        }
        let left = |all: &[Alike]| mean(all.iter().copied().map(mean_of));
        let similarity = Bootstrap::new(images, key).mean(&by_image).unwrap_or(none);
        // Randomizing the first quarter alone is also the first step of the cascade.
        let cascade = parts.iter().filter(|((from, _), _)| *from == 0);
        let mut cascade: Vec<(f64, f64)> = cascade.map(|((_, to), all)| (share(*to), left(all))).collect();
        cascade.sort_by(|a, b| a.0.total_cmp(&b.0));
        cascade.push((1.0, similarity.mean));
        let alone =
            parts.iter().filter(|((from, to), _)| *from > 0 || share(*to) <= 0.25 || parts.len() == 1);
        let kept = |comparisons: &[Comparison]| SimilarityRetained::of(comparisons, &self.own, key);
        MethodRandomization {
            similarity,
            rank_correlation: one(0),
            structure: one(1),
            floor: same(&self.against_random),
            kept: [kept(&self.against_original), kept(&self.against_random)].into_iter().flatten().collect(),
            cascade,
            independent: alone.map(|((from, to), all)| (share(*from), share(*to), left(all))).collect(),
        }
    }
}

impl RandomizationTest {
    /// Returns the results as JSON, for resuming an audit.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let row = |(id, r): &(String, MethodRandomization)| json!([id, r.to_json()]);
        json!({ "edges": self.edges, "floor": self.floor, "methods": self.methods.iter().map(row).collect::<Vec<_>>() })
    }

    /// Parses the output of [`to_json`](Self::to_json); `None` if it is malformed.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let row = |v: &Value| Some((v[0].as_str()?.to_owned(), MethodRandomization::from_json(&v[1])?));
        let methods = value["methods"].as_array()?.iter().map(row).collect::<Option<_>>()?;
        Some(Self { edges: value["edges"].as_f64()?, floor: value["floor"].as_f64()?, methods })
    }
}
