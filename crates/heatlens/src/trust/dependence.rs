//! Does a method look at the model's weights? Its maps are compared with those for networks with random weights.
//!
//! Alike means: the mean of the rank correlation of |map| and of the structural similarity of the pictures. Two
//! yardsticks say what a number is worth. `edges`, a control that sees the image alone, stays the same: the upper one.
//! The lower one, the noise floor, is what two random networks have in common at least, as the method shows them that
//! tells them apart best (the plain derivative always among them). A method whose maps stay nearer to the upper one than
//! to the floor, from the model to random networks or from one random network to the next, ignores the model.

use serde_json::{Value, json};

use crate::explain::{Attribution, ExplainError, ExplainOptions, Explainer};
use crate::method::{self, Method, Settings};
use crate::metric::similarity::{correlate_ranks, ranks, structural};
use crate::model::Model;
use crate::random::{Key, Use};
use crate::trust::audit::{Estimate, Randomisation};
use crate::trust::bootstrap::Bootstrap;
use crate::trust::randomise::Randomiser;

/// The share of pixels whose strength is cut off in a picture, so that single ones do not make the others invisible.
const CUT_OFF: f64 = 0.01;
/// Images explained together.
const TOGETHER: usize = 8;

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
        Self { seeds: 5, images: 12, images_by_part: 3 }
    }

    /// For closer intervals.
    #[must_use]
    pub fn full() -> Self {
        Self { seeds: 10, images: 32, images_by_part: 12 }
    }

    /// How many images are explained, all methods together.
    #[must_use]
    pub fn explained(&self, images: usize) -> usize {
        let (all, part) = (self.images.min(images), self.images_by_part.min(images));
        all * (1 + self.seeds) + 7 * self.seeds * part
    }
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dependence {
    /// How alike `edges` stays: the upper yardstick.
    pub edges: f64,
    /// The lower yardstick.
    pub floor: f64,
    /// The audited methods by id.
    pub methods: Vec<(String, Randomisation)>,
}

impl Dependence {
    /// Whether a method's maps are nearer to staying the same, as those of `edges` do, than to the noise floor: the
    /// model's against those of random networks, or those of random networks against each other. (A network can be so
    /// unlike a random one, with statistics that never fitted its weights for instance, that nothing stays the same.)
    #[must_use]
    pub fn ignores_model(&self, method: &Randomisation) -> bool {
        let similarity = method.unchanged();
        (self.edges - similarity).abs() < (similarity - self.floor).abs()
    }

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
    let Some(original) = bench.maps(model, whole, advance)? else { return Ok(None) };
    let mut tallies: Vec<Tally> = vec![Tally::default(); bench.methods.len()];
    let mut before: Option<Vec<Vec<Picture>>> = None;
    for seed in 0..plan.seeds {
        let random = bench.random(0..bench.randomiser.layers(), seed)?;
        let Some(maps) = bench.maps(&random, whole, advance)? else { return Ok(None) };
        for (m, tally) in tallies.iter_mut().enumerate() {
            tally.against_original.push(compare(&original[m], &maps[m]));
            if let Some(before) = &before {
                tally.against_random.push(compare(&before[m], &maps[m]));
            }
        }
        before = Some(maps);
    }
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
            for seed in 0..plan.seeds {
                let random = bench.random(from..pair[1], seed)?;
                let Some(maps) = bench.maps(&random, part, advance)? else { return Ok(None) };
                for (m, tally) in tallies.iter_mut().enumerate() {
                    let original: Vec<Picture> = original[m].iter().take(n).cloned().collect();
                    tally.parts.push(((from, pair[1]), compare(&original, &maps[m])));
                }
            }
        }
    }
    Ok(Some(bench.conclude(methods, &tallies)))
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

/// A map, ready to be compared.
#[derive(Clone)]
struct Picture {
    ranks: Vec<f64>,
    values: Vec<f32>,
    size: [usize; 2],
}

/// Rank correlation and structural similarity.
type Alike = [f64; 2];

#[derive(Clone, Default)]
struct Tally {
    /// By seed, then by image.
    against_original: Vec<Vec<Alike>>,
    against_random: Vec<Vec<Alike>>,
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
        let floor =
            judged.map(|(_, t)| mean(t.against_random.iter().flatten())).fold(f64::INFINITY, f64::min);
        let edges = of(method::edges().id).map_or(1.0, |t| mean(t.against_original.iter().flatten()));
        let layers = self.randomiser.layers();
        let row = |m: &&'static Method| Some((m.id.to_owned(), of(m.id)?.conclude(self.key, layers)));
        let floor = if floor.is_finite() { floor } else { 0.0 };
        Dependence { edges, floor, methods: methods.iter().filter_map(row).collect() }
    }
}

#[allow(clippy::cast_precision_loss)]
fn mean<'t>(values: impl Iterator<Item = &'t Alike>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(s, n), [r, t]| (s + f64::midpoint(*r, *t), n + 1));
    sum / count.max(1) as f64
}

impl Tally {
    #[allow(clippy::cast_precision_loss)]
    fn conclude(&self, key: Key, layers: usize) -> Randomisation {
        let images = self.against_original.first().map_or(0, Vec::len);
        let of_image = |i: usize| Some(mean(self.against_original.iter().filter_map(|seed| seed.get(i))));
        let by_image: Vec<Option<f64>> = (0..images).map(of_image).collect();
        let none = Estimate { mean: 0.0, low: 0.0, high: 0.0, images: 0 };
        let one = |which: usize| {
            let all: Vec<f64> = self.against_original.iter().flatten().map(|alike| alike[which]).collect();
            all.iter().sum::<f64>() / all.len().max(1) as f64
        };
        let share = |layer: usize| layer as f64 / layers.max(1) as f64;
        let mut parts: Vec<((usize, usize), Vec<Alike>)> = Vec::new();
        for (part, alike) in &self.parts {
            match parts.iter_mut().find(|(known, _)| known == part) {
                Some((_, all)) => all.extend_from_slice(alike),
                None => parts.push((*part, alike.clone())),
            }
        }
        let similarity = Bootstrap::new(images, key).mean(&by_image).unwrap_or(none);
        // The first quarter alone is the first step of the cascade too.
        let cascade = parts.iter().filter(|((from, _), _)| *from == 0);
        let mut cascade: Vec<(f64, f64)> =
            cascade.map(|((_, to), all)| (share(*to), mean(all.iter()))).collect();
        cascade.sort_by(|a, b| a.0.total_cmp(&b.0));
        cascade.push((1.0, similarity.mean));
        let alone =
            parts.iter().filter(|((from, to), _)| *from > 0 || share(*to) <= 0.25 || parts.len() == 1);
        Randomisation {
            similarity,
            rank_correlation: one(0),
            structure: one(1),
            floor: mean(self.against_random.iter().flatten()),
            cascade,
            independent: alone
                .map(|((from, to), all)| (share(*from), share(*to), mean(all.iter())))
                .collect(),
        }
    }
}

impl Picture {
    fn of(attribution: &Attribution) -> Self {
        let plane = attribution.plane();
        let (plane, size): (&[f32], _) =
            plane.as_ref().map_or((&[], [0; 2]), |map| (map.values(), [map.height(), map.width()]));
        let sizes: Vec<f32> = plane.iter().map(|v| v.abs()).collect();
        let heat: Vec<f32> = plane.iter().map(|v| v.max(0.0)).collect();
        let full = full_strength(&heat);
        let values = heat.iter().map(|v| if full > 0.0 { (v / full).min(1.0) } else { 0.0 }).collect();
        Self { ranks: ranks(&sizes), values, size }
    }
}

/// What is drawn in full strength: all but one pixel in a hundred are weaker, if any are.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn full_strength(heat: &[f32]) -> f32 {
    let mut rising = heat.to_vec();
    rising.sort_by(f32::total_cmp);
    let at = (rising.len().saturating_sub(1) as f64 * (1.0 - CUT_OFF)).round() as usize;
    let largest = rising.last().copied().unwrap_or(0.0);
    rising.get(at).copied().filter(|v| *v > 0.0).unwrap_or(largest)
}

/// Image by image; a map without any difference in it has nothing in common with others.
fn compare(a: &[Picture], b: &[Picture]) -> Vec<Alike> {
    let alike = |(a, b): (&Picture, &Picture)| {
        let rank = if a.ranks.len() == b.ranks.len() { correlate_ranks(&a.ranks, &b.ranks) } else { None };
        [rank.unwrap_or(0.0), structural(&a.values, &b.values, a.size, 1.0).unwrap_or(0.0)]
    };
    a.iter().zip(b).map(alike).collect()
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
