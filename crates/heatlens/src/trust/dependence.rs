//! Does a method look at the model's weights? Its maps are compared with those for networks with random weights.
//!
//! Alike means: the mean of the rank correlation of the heat and of the structural similarity of the pictures. Each
//! method has its own two yardsticks. The upper one is how alike it is to itself when the image gets noise that nobody
//! sees: no map can be expected to stay more alike than that. The lower one is how alike its maps for *different* images
//! are: borders and the network's shape make any two of them alike. If more than a third of the way from the lower one to
//! the upper one remains when the weights are drawn anew, from the model to random networks or from one random network to
//! the next, the method says much the same whatever the weights: it ignores the model. `edges`, a control that sees the
//! image alone, must stay exactly the same.

mod kept;
mod picture;

use serde_json::{Value, json};

use crate::explain::{ExplainError, ExplainOptions, Explainer};
use crate::method::{self, Method, Settings};
use crate::model::Model;
use crate::random::{Key, Use};
use crate::stats::bootstrap::Bootstrap;
use crate::trust::audit::{Estimate, Randomisation};
use crate::trust::randomise::Randomiser;

use kept::Comparison;
pub use kept::Kept;
use picture::{Alike, Picture, compare, mean_of};

/// Noise that nobody sees: the largest change of a pixel as a share of the image's range, as for the sensitivities.
const UNSEEN: f32 = 0.02;
/// Images explained together.
const TOGETHER: usize = 8;
/// Random networks for a part of the layers; the verdict does not go by these.
const PART_SEEDS: usize = 5;

/// How much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DependencePlan {
    /// Random networks.
    pub seeds: usize,
    /// Images for the comparison with all layers random.
    pub images: usize,
    /// Images for those with a part of the layers random.
    pub images_by_part: usize,
}

impl DependencePlan {
    /// What an audit does by default.
    #[must_use]
    pub fn quick() -> Self {
        // Maps differ more from one random network to the next than from image to image.
        Self { seeds: 10, images: 8, images_by_part: 2 }
    }

    /// For closer intervals.
    #[must_use]
    pub fn full() -> Self {
        Self { seeds: 20, images: 16, images_by_part: 12 }
    }

    /// How many images are explained, all methods together.
    #[must_use]
    pub fn explained(&self, images: usize) -> usize {
        let (all, part) = (self.images.min(images), self.images_by_part.min(images));
        // Each image with and without noise; then the parts.
        2 * all * (1 + self.seeds) + 7 * self.seeds.min(PART_SEEDS) * part
    }
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dependence {
    /// How alike `edges` stays: 1, or the comparison itself is broken.
    pub edges: f64,
    /// What two random networks have in common at least, as the method shows them that tells them apart best.
    pub floor: f64,
    /// The audited methods by id.
    pub methods: Vec<(String, Randomisation)>,
}

impl Dependence {
    /// What was measured for a method.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<&Randomisation> {
        self.methods.iter().find(|(known, _)| known == id).map(|(_, found)| found)
    }
}

/// The images that are compared, and for which class.
#[derive(Clone, Copy, Debug)]
pub struct Subjects<'a> {
    /// c·h·w values each.
    pub pixels: &'a [f32],
    /// The class of each, as the model predicts it.
    pub classes: &'a [usize],
}

impl Subjects<'_> {
    fn first(&self, n: usize) -> Self {
        let n = n.min(self.classes.len());
        let len = self.pixels.len() / self.classes.len().max(1);
        Self { pixels: &self.pixels[..n * len], classes: &self.classes[..n] }
    }
}

/// Compares the methods' maps with those for random networks. `advance` is told of so many images explained and
/// answers whether to go on; `None` if not.
///
/// # Errors
/// If a method does not apply, or a random network cannot be computed.
pub fn measure(
    model: &Model,
    methods: &[&'static Method],
    settings: &Settings,
    subjects: Subjects<'_>,
    plan: DependencePlan,
    advance: &dyn Fn(usize) -> bool,
) -> Result<Option<Dependence>, ExplainError> {
    let randomiser = Randomiser::new(model)?;
    let yardsticks = [method::edges(), method::gradient()];
    let mut all = methods.to_vec();
    all.extend(yardsticks.iter().filter(|y| methods.iter().all(|m| m.id != y.id)));
    let key = Key::new(settings.seed, Use::Audit).at(u64::MAX);
    let bench = Bench { randomiser, methods: all, settings, key, statistics_on: subjects };
    let whole = subjects.first(plan.images);
    let mut tallies: Vec<Tally> = vec![Tally::default(); bench.methods.len()];
    // By network, the model first.
    let mut pictures: Vec<Vec<Vec<Picture>>> = Vec::new();
    for network in 0..=plan.seeds {
        let random;
        let network = match network.checked_sub(1) {
            None => model,
            Some(seed) => {
                random = bench.random(0..bench.randomiser.layers(), seed)?;
                &random
            }
        };
        // As they are and with noise, together: a network is compiled once.
        let both = [whole.pixels, &noisy(whole, key.at(pictures.len() as u64))].concat();
        let both = Subjects { pixels: &both, classes: &whole.classes.repeat(2) };
        let Some(mut maps) = bench.maps(network, both, advance)? else { return Ok(None) };
        for (m, tally) in tallies.iter_mut().enumerate() {
            let again = maps[m].split_off(whole.classes.len());
            tally.own.push(compare(&maps[m], &again, 0).into_iter().map(mean_of).collect());
            for (number, before) in pictures.iter().enumerate() {
                tally.compare([number, pictures.len()], &before[m], &maps[m]);
            }
        }
        pictures.push(maps);
    }
    let Some(original) = pictures.first() else { return Ok(None) };
    let part = subjects.first(plan.images_by_part);
    let cuts = cuts(bench.randomiser.layers());
    let n = part.classes.len();
    for pair in cuts.windows(2) {
        for cascade in [true, false] {
            let from = if cascade { 0 } else { pair[0] };
            // All layers are known already.
            if from == 0 && pair[1] == bench.randomiser.layers() || (cascade && pair[0] == 0) {
                continue;
            }
            for seed in 0..plan.seeds.min(PART_SEEDS) {
                let random = bench.random(from..pair[1], seed)?;
                let Some(maps) = bench.maps(&random, part, advance)? else { return Ok(None) };
                for (m, tally) in tallies.iter_mut().enumerate() {
                    tally.parts.push(((from, pair[1]), compare(&original[m][..n], &maps[m], 0)));
                }
            }
        }
    }
    Ok(Some(bench.conclude(methods, &tallies)))
}

/// The images with uniform noise.
fn noisy(subjects: Subjects<'_>, key: Key) -> Vec<f32> {
    let len = subjects.pixels.len() / subjects.classes.len().max(1);
    let noisy = |(i, image): (usize, &[f32])| {
        let low = image.iter().copied().fold(f32::INFINITY, f32::min);
        let high = image.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (radius, mut rng) = (UNSEEN * (high - low), key.at(i as u64).rng());
        image.iter().map(|pixel| pixel + (2.0 * rng.uniform() - 1.0) * radius).collect::<Vec<f32>>()
    };
    subjects.pixels.chunks(len.max(1)).enumerate().flat_map(noisy).collect()
}

/// Where the layers are cut into quarters.
fn cuts(layers: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..=4).map(|k| (layers * k).div_ceil(4)).collect();
    cuts.dedup();
    cuts
}

struct Bench<'a> {
    randomiser: Randomiser,
    methods: Vec<&'static Method>,
    settings: &'a Settings,
    key: Key,
    statistics_on: Subjects<'a>,
}

#[derive(Clone, Default)]
struct Tally {
    /// By network, the model first, and by image: how alike a map is to that of the image with noise.
    own: Vec<Vec<f64>>,
    against_original: Vec<Comparison>,
    against_random: Vec<Comparison>,
    /// Against the original, by seed, then by image.
    measures: Vec<Vec<Alike>>,
    /// Layers, counted from the scores, by image.
    parts: Vec<((usize, usize), Vec<Alike>)>,
}

impl Bench<'_> {
    fn random(&self, layers: std::ops::Range<usize>, seed: usize) -> Result<Model, ExplainError> {
        let Subjects { pixels, classes } = self.statistics_on;
        self.randomiser.randomised(layers, self.key.at(seed as u64), pixels, classes.len())
    }

    /// For each method the pictures of all images.
    fn maps(
        &self,
        model: &Model,
        subjects: Subjects<'_>,
        advance: &dyn Fn(usize) -> bool,
    ) -> Result<Option<Vec<Vec<Picture>>>, ExplainError> {
        let options = ExplainOptions {
            settings: self.settings.clone(),
            classes_given: true,
            ..ExplainOptions::new(&self.methods)
        };
        let explainer = Explainer::new(model, &options)?;
        let together = if explainer.takes_passes() { 1 } else { TOGETHER };
        let len = subjects.pixels.len() / subjects.classes.len().max(1);
        let mut maps: Vec<Vec<Picture>> = vec![Vec::new(); self.methods.len()];
        for (pixels, classes) in
            subjects.pixels.chunks((together * len).max(1)).zip(subjects.classes.chunks(together))
        {
            for explanation in explainer.explain_for(pixels, classes)? {
                for (maps, attribution) in maps.iter_mut().zip(&explanation.attributions) {
                    maps.push(Picture::of(attribution));
                }
            }
            if !advance(classes.len()) {
                return Ok(None);
            }
        }
        Ok(Some(maps))
    }

    fn conclude(&self, methods: &[&'static Method], tallies: &[Tally]) -> Dependence {
        let of = |id: &str| self.methods.iter().position(|m| m.id == id).and_then(|m| tallies.get(m));
        let controls = method::controls();
        let judged = self.methods.iter().zip(tallies).filter(|(m, _)| controls.iter().all(|c| c.id != m.id));
        let floor = judged.map(|(_, tally)| same(&tally.against_random)).fold(f64::INFINITY, f64::min);
        let edges = of(method::edges().id).map_or(1.0, |tally| same(&tally.against_original));
        let layers = self.randomiser.layers();
        let row = |m: &&'static Method| Some((m.id.to_owned(), of(m.id)?.conclude(self.key, layers)));
        let floor = if floor.is_finite() { floor } else { 0.0 };
        Dependence { edges, floor, methods: methods.iter().filter_map(row).collect() }
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
    /// The maps of two networks, the first of which may be the model (0).
    fn compare(&mut self, networks: [usize; 2], a: &[Picture], b: &[Picture]) {
        let measures = compare(a, b, 0);
        // Which other image: another for each pair of networks, never the same one.
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
    fn conclude(&self, key: Key, layers: usize) -> Randomisation {
        let images = self.against_original.first().map_or(0, |c| c.same.len());
        let of_image = |i: usize| Some(mean(self.against_original.iter().map(|c| c.same[i])));
        let by_image: Vec<Option<f64>> = (0..images).map(of_image).collect();
        let none = Estimate { mean: 0.0, low: 0.0, high: 0.0, images: 0 };
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
        // The first quarter alone is the first step of the cascade too.
        let cascade = parts.iter().filter(|((from, _), _)| *from == 0);
        let mut cascade: Vec<(f64, f64)> = cascade.map(|((_, to), all)| (share(*to), left(all))).collect();
        cascade.sort_by(|a, b| a.0.total_cmp(&b.0));
        cascade.push((1.0, similarity.mean));
        let alone =
            parts.iter().filter(|((from, to), _)| *from > 0 || share(*to) <= 0.25 || parts.len() == 1);
        let kept = |comparisons: &[Comparison]| Kept::of(comparisons, &self.own, key);
        Randomisation {
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

impl Dependence {
    /// To be kept while an audit goes on.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let row = |(id, r): &(String, Randomisation)| json!([id, r.to_json()]);
        json!({ "edges": self.edges, "floor": self.floor, "methods": self.methods.iter().map(row).collect::<Vec<_>>() })
    }

    /// From [`to_json`](Self::to_json); `None` if it is nothing of the kind.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let row = |v: &Value| Some((v[0].as_str()?.to_owned(), Randomisation::from_json(&v[1])?));
        let methods = value["methods"].as_array()?.iter().map(row).collect::<Option<_>>()?;
        Some(Self { edges: value["edges"].as_f64()?, floor: value["floor"].as_f64()?, methods })
    }
}
