//! Test of whether a prediction depends on a region.
//!
//! Heat in a region only suggests a shortcut: the upper stroke of a seven is always at the top. The region is
//! therefore filled in, in images that are hot there, in three ways: with the mean of each channel, with the mean
//! of the surroundings, and with the same region of an image predicted as another class. The model then predicts
//! again. The evidence for a class is its log odds. For one fill, the class *depends on* the region if
//!
//! 1. the median loss of evidence is at least a quarter;
//! 2. it loses more than at the matched regions, those that reflections and rotations of the image make of this
//!    one, in more images than expected by chance (sign test);
//! 3. it loses more than other classes do when their images are filled in the same way (rank test), and at least four
//!    times as much: a mark is absent from the images of other classes, so nothing is lost there.
//!
//! A region on which a class depends may still be a part of the object, such as that stroke of a seven. A mark works
//! wherever it is put: the region of the class's images is therefore pasted into images of other classes. It *carries* the
//! class if
//!
//! 1. the median gain of evidence is at least three quarters of what separates these images from the class;
//! 2. it gains more than the matched regions do, in more images than expected by chance (sign test).
//!
//! Heat may lie beside what causes it, so of the region and its neighbours the one that carries most is tested. A region is
//! suspected if the class depends on it for at least two of the fills and it carries the class. Otherwise the
//! model always looks there, and nothing more can be concluded.

use std::ops::Range;

use serde_json::{Value, json};

use crate::data::Dataset;
use crate::dataset::border_region::BorderRegion;
use crate::explain::ExplainError;
use crate::model::Model;
use crate::predict::Predictor;
use crate::run::RunError;
use crate::stats::binomial;
use crate::stats::rank_test;

/// Maximum number of images tried per group.
const IMAGES: usize = 24;
/// Minimum share of the evidence that a class must lose.
const LEAST: f64 = 0.25;
/// Maximum loss of other classes, as a share of the class's own.
const OF_OTHERS: f64 = 0.25;
/// Minimum share of the missing evidence that the pasted region must give; 1 would make half of the images be predicted as
/// the class.
const CARRIES: f64 = 0.75;
/// Significance level of each test.
const ALPHA: f64 = 0.01;
/// Minimum number of fills that must agree.
const AGREEING: usize = 2;

/// Content that replaces a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Mean of each channel over the image.
    Mean,
    /// Mean of each channel over a frame around the region.
    Surroundings,
    /// The same region of an image predicted as another class.
    Another,
}

impl Fill {
    /// All fills.
    pub const ALL: [Self; 3] = [Self::Mean, Self::Surroundings, Self::Another];

    /// Returns the name of the fill.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Surroundings => "surroundings",
            Self::Another => "another image",
        }
    }
}

/// Result of one fill; losses of evidence are shares of the evidence, as medians over images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvidenceLoss {
    /// Fill used.
    pub fill: Fill,
    /// EvidenceLoss of the class in this region.
    pub here: f64,
    /// Mean loss of the class over the matched regions.
    pub matched: f64,
    /// EvidenceLoss of other classes in this region.
    pub others: f64,
    /// Larger p-value of the two tests.
    pub p_value: f64,
}

impl EvidenceLoss {
    /// Returns true if the class depends on the region for this fill.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let by_others = self.others <= OF_OTHERS * self.here;
        self.here >= LEAST && self.here > self.matched && by_others && self.p_value <= ALPHA
    }
}

/// Result of pasting a region into images of other classes; gains are shares of the evidence that these images lack, as
/// medians over images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvidenceGain {
    /// EvidenceGain by this region.
    pub here: f64,
    /// Mean gain by the matched regions.
    pub matched: f64,
    /// p-value of the sign test.
    pub p_value: f64,
}

impl EvidenceGain {
    /// Returns true if the region carries the class.
    #[must_use]
    pub fn carries(&self) -> bool {
        self.here >= CARRIES && self.here > self.matched && self.p_value <= ALPHA
    }
}

/// Result of changing a region.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionTest {
    /// Losses where the region is filled in, one entry per fill.
    pub losses: Vec<EvidenceLoss>,
    /// EvidenceGain where the region is pasted into images of other classes.
    pub gain: EvidenceGain,
    /// Number of images of the class that were tried.
    pub images: usize,
}

impl RegionTest {
    /// Returns true if the class depends on the region for enough of the fills, and the region carries the class.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.depends() && self.gain.carries()
    }

    /// Returns true if the class depends on the region for enough of the fills.
    #[must_use]
    pub fn depends(&self) -> bool {
        self.losses.iter().filter(|loss| loss.agrees()).count() >= AGREEING
    }

    /// Returns the largest share of evidence that the class loses.
    #[must_use]
    pub fn most(&self) -> f64 {
        self.losses.iter().map(|loss| loss.here).fold(0.0, f64::max)
    }

    pub(super) fn to_json(&self) -> Value {
        let loss = |l: &EvidenceLoss| {
            json!({
                "fill": l.fill.name(), "lost": l.here, "lost_at_matched_places": l.matched,
                "lost_by_other_classes": l.others, "p_value": l.p_value, "agrees": l.agrees(),
            })
        };
        let EvidenceGain { here, matched, p_value } = self.gain;
        let pasted = json!({
            "gained": here, "gained_by_matched_places": matched, "p_value": p_value, "carries": self.gain.carries(),
        });
        json!({ "images": self.images, "fills": self.losses.iter().map(loss).collect::<Vec<_>>(), "pasted": pasted })
    }
}

/// Fills regions in and predicts again.
#[derive(Debug)]
pub struct RegionTester<'a> {
    predictor: Predictor,
    model: &'a Model,
    data: &'a dyn Dataset,
}

/// An image and its predicted class.
struct Subject {
    pixels: Vec<f32>,
    class: usize,
}

impl<'a> RegionTester<'a> {
    /// Compiles the model for predictions.
    ///
    /// # Errors
    /// If the model cannot be compiled.
    pub fn new(model: &'a Model, data: &'a dyn Dataset) -> Result<Self, ExplainError> {
        Ok(Self { predictor: Predictor::new(model)?, model, data })
    }

    /// Fills `place` in, in the images `own`, which share one predicted class, and in the images `others`. Both are
    /// lists of item and predicted class, of which at most [`IMAGES`], evenly spaced, are tried.
    ///
    /// # Errors
    /// If an image can no longer be read.
    pub(super) fn try_out(
        &self,
        place: BorderRegion,
        own: &[(usize, usize)],
        others: &[(usize, usize)],
    ) -> Result<RegionTest, RunError> {
        let [own, others] = [self.some(own)?, self.some(others)?];
        // A mark that the window cuts works only in part: the neighbour that carries most is tested.
        let (mut place, mut most) = (place, f64::NEG_INFINITY);
        for near in place.neighbours() {
            let gain = median(self.gained(&own, &others, near)?);
            (place, most) = if gain > most { (near, gain) } else { (place, most) };
        }
        let matched: Vec<BorderRegion> = place.equivalents().into_iter().skip(1).collect();
        let losses = Fill::ALL.map(|fill| -> Result<EvidenceLoss, RunError> {
            let here = self.lost(&own, &others, place, fill)?;
            let elsewhere = self.lost(&others, &others, place, fill)?;
            let at_matched = mean_of(&matched, |at| self.lost(&own, &others, at, fill))?;
            let sign = sign_test(&here, &at_matched);
            let scores: Vec<f32> = here.iter().chain(&elsewhere).map(|&l| l as f32).collect();
            let positive: Vec<bool> = (0..scores.len()).map(|i| i < here.len()).collect();
            let rank = rank_test::p_value(&scores, &positive).unwrap_or(1.0);
            let [here, matched, others] = [here, at_matched, elsewhere].map(median);
            Ok(EvidenceLoss { fill, here, matched, others, p_value: sign.max(rank) })
        });
        let losses = losses.into_iter().collect::<Result<_, _>>()?;
        let here = self.gained(&own, &others, place)?;
        let at_matched = mean_of(&matched, |at| self.gained(&own, &others, at))?;
        let p_value = sign_test(&here, &at_matched);
        let gain = EvidenceGain { here: median(here), matched: median(at_matched), p_value };
        Ok(RegionTest { losses, gain, images: own.len() })
    }

    /// Loads at most [`IMAGES`] of the images, evenly spaced.
    fn some(&self, items: &[(usize, usize)]) -> Result<Vec<Subject>, RunError> {
        let taken = items.len().min(IMAGES);
        let chosen = (0..taken).map(|i| items[i * items.len() / taken]);
        chosen.map(|(item, class)| Ok(Subject { pixels: self.data.load(item)?.pixels, class })).collect()
    }

    /// Returns the share of the missing evidence for the class of `own` that each of `others` gains when a region of `own`
    /// is pasted into it.
    fn gained(&self, own: &[Subject], others: &[Subject], place: BorderRegion) -> Result<Vec<f64>, RunError> {
        let Some(class) = own.first().map(|image| image.class) else { return Ok(Vec::new()) };
        let donor = |i: usize| own[i % own.len()].pixels.as_slice();
        let both = others.iter().enumerate().map(|(i, image)| {
            let pasted = self.filled(&image.pixels, donor(i), place, Fill::Another);
            [image.pixels.clone(), pasted].concat()
        });
        let evidence = self.evidence_of(&both.collect::<Vec<_>>().concat(), |_| class)?;
        let share = |pair: &[f64]| (pair[1] - pair[0]) / pair[0].abs().max(f64::MIN_POSITIVE);
        Ok(evidence.chunks_exact(2).map(share).collect())
    }

    /// Returns the evidence of images, laid end to end, for a class each.
    fn evidence_of(&self, pixels: &[f32], class: impl Fn(usize) -> usize) -> Result<Vec<f64>, RunError> {
        let n = pixels.len() / self.model.shape().iter().product::<usize>().max(1);
        let logits = self.predictor.logits(pixels, n)?;
        let rows = logits.chunks_exact(self.model.head.outputs.max(1)).enumerate();
        Ok(rows.map(|(i, row)| self.evidence(row, class(i))).collect())
    }

    /// Returns the share of its class's evidence that each image loses when a region is filled in.
    fn lost(
        &self,
        images: &[Subject],
        donors: &[Subject],
        place: BorderRegion,
        fill: Fill,
    ) -> Result<Vec<f64>, RunError> {
        let mut pixels = Vec::new();
        for (i, image) in images.iter().enumerate() {
            pixels.extend_from_slice(&image.pixels);
            // If images are their own donors, the donor is the next image.
            let donor = &donors[(i + 1) % donors.len().max(1)].pixels;
            pixels.extend(self.filled(&image.pixels, donor, place, fill));
        }
        let evidence = self.evidence_of(&pixels, |i| images[i / 2].class)?;
        let share = |pair: &[f64]| (pair[0] - pair[1]) / pair[0].abs().max(f64::MIN_POSITIVE);
        Ok(evidence.chunks_exact(2).map(share).collect())
    }

    /// Returns the image with a region filled in.
    fn filled(&self, pixels: &[f32], donor: &[f32], place: BorderRegion, fill: Fill) -> Vec<f32> {
        let [_, h, w] = self.model.shape();
        let [top, left, height, width] = place.rectangle();
        let rows = range(top, height, h);
        let columns = range(left, width, w);
        // The frame is half as deep as the region's shorter side.
        let depth = (rows.len().min(columns.len()) / 2).max(1);
        let around = [grown(&rows, depth, h), grown(&columns, depth, w)];
        let mut filled = pixels.to_vec();
        for (plane, donor) in filled.chunks_exact_mut((h * w).max(1)).zip(donor.chunks_exact((h * w).max(1)))
        {
            let mean = |inside: &dyn Fn(usize, usize) -> bool| {
                let chosen = plane.iter().enumerate().filter(|(i, _)| inside(i / w, i % w));
                let (sum, n) = chosen.fold((0.0, 0usize), |(s, n), (_, v)| (s + f64::from(*v), n + 1));
                (sum / n.max(1) as f64) as f32
            };
            let here = |y: usize, x: usize| rows.contains(&y) && columns.contains(&x);
            let value = match fill {
                Fill::Mean => mean(&|_, _| true),
                Fill::Surroundings => {
                    mean(&|y, x| around[0].contains(&y) && around[1].contains(&x) && !here(y, x))
                }
                Fill::Another => 0.0,
            };
            for i in rows.clone().flat_map(|y| columns.clone().map(move |x| y * w + x)) {
                plane[i] = if fill == Fill::Another { donor[i] } else { value };
            }
        }
        filled
    }

    /// Returns the evidence for a class: its log odds.
    fn evidence(&self, logits: &[f32], class: usize) -> f64 {
        let head = &self.model.head;
        match logits {
            &[z] if class == 0 => -f64::from(z),
            &[z] => f64::from(z),
            all if head.classes_stand_alone() => f64::from(all[class]),
            all => {
                let others =
                    || all.iter().enumerate().filter(|(k, _)| *k != class).map(|(_, &z)| f64::from(z));
                let top = others().fold(f64::NEG_INFINITY, f64::max);
                f64::from(all[class]) - top - others().map(|z| libm::exp(z - top)).sum::<f64>().ln()
            }
        }
    }
}

/// Returns the pixels that a share of an axis covers.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares of a side")]
fn range(start: f64, len: f64, side: usize) -> Range<usize> {
    let at = |share: f64| ((share * side as f64).round() as usize).min(side);
    at(start)..at(start + len)
}

fn grown(range: &Range<usize>, by: usize, side: usize) -> Range<usize> {
    range.start.saturating_sub(by)..(range.end + by).min(side)
}

/// Returns the mean of several places, image by image.
fn mean_of(
    places: &[BorderRegion],
    of: impl Fn(BorderRegion) -> Result<Vec<f64>, RunError>,
) -> Result<Vec<f64>, RunError> {
    let mut sum: Vec<f64> = Vec::new();
    for &place in places {
        let values = of(place)?;
        sum.resize(values.len(), 0.0);
        sum.iter_mut().zip(values).for_each(|(sum, v)| *sum += v / places.len() as f64);
    }
    Ok(sum)
}

/// Returns the probability of so many images being above the matched value by chance.
fn sign_test(here: &[f64], matched: &[f64]) -> f64 {
    let more = here.iter().zip(matched).filter(|(a, b)| a > b).count();
    binomial::upper_tail(more as u64, here.len() as u64, 0.5)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use heatlens_graph::op::gemm::Gemm;
    use heatlens_graph::op::reshape::Flatten;
    use heatlens_graph::{Builder, Fact, Graph, Shape, Tensor};

    use super::*;
    use crate::data::{ArrayDataset, ElementType, OpenOptions};
    use crate::dataset::{DatasetFindings, HeatGrid, Observation, Observations};
    use crate::render::Map;

    const SIDE: usize = 16;
    const IMAGES: usize = 60;

    /// Images of two classes: those of class 1 are bright and hot in a corner and in the middle.
    fn images() -> Vec<f32> {
        let bright = |y: usize, x: usize| (y < 4 && x < 4) || (7..10).contains(&y) && (7..10).contains(&x);
        let pixel = |i: usize| {
            let (image, y, x) = (i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE);
            let noise = ((i * 7919 + 13) % 101) as f32 / 1000.0;
            noise + if image % 2 == 1 && bright(y, x) { 0.8 } else { 0.0 }
        };
        (0..IMAGES * SIDE * SIDE).map(pixel).collect()
    }

    /// Model that counts bright pixels, weighted by `corner` in the corner and `middle` in the middle.
    fn model(corner: f32, middle: f32) -> Model {
        let mut graph = Graph::new("counts");
        let x = graph.add_input("image", Fact::f32(Shape::batched(&[1, SIDE, SIDE])));
        let mut b = Builder::new(&mut graph, "net");
        let flat = b.apply(Flatten { axis: 1 }, &[x]).unwrap();
        let weight = |i: usize| match (i / SIDE, i % SIDE) {
            (0..4, 0..4) => corner / 16.0,
            (7..10, 7..10) => middle / 9.0,
            _ => 0.0,
        };
        let w = b.constant(Tensor::f32(&[1, SIDE * SIDE], (0..SIDE * SIDE).map(weight).collect()));
        let bias = b.constant(Tensor::f32(&[1], vec![-2.0]));
        let y = b.apply(Gemm { trans_b: true, ..Gemm::default() }, &[flat, w, bias]).unwrap();
        graph.set_outputs(&[y]);
        Model::from_graph(graph).unwrap()
    }

    fn found(model: &Model) -> DatasetFindings {
        let options = OpenOptions::default();
        let shape = [IMAGES, 1, SIDE, SIDE];
        let data = ArrayDataset::from_values("X", &shape, ElementType::Float(4), images(), &options).unwrap();
        let heat = |class: usize, item: usize| {
            let at = |i: usize| match class {
                1 => f32::from(u8::from(i / SIDE < 4 && i % SIDE < 4)),
                _ => ((i * 31 + item * 17) % 97) as f32,
            };
            HeatGrid::of(&Map::new(SIDE, SIDE, (0..SIDE * SIDE).map(at).collect()).unwrap())
        };
        let row = |item: usize| {
            let class = item % 2;
            Observation { item, label: Some(class), predicted: class, grid: heat(class, item) }
        };
        let seen = Observations { rows: (0..IMAGES).map(row).collect(), ..Observations::default() };
        let mut found = DatasetFindings::of(&seen, 0);
        assert_eq!(found.shortcuts().count(), 1, "before it is tried, nothing speaks against it");
        found.try_out(&seen, &RegionTester::new(model, &data).unwrap()).unwrap();
        found
    }

    #[test]
    fn a_place_on_which_the_class_hangs_is_suspected() {
        let found = found(&model(5.0, 0.0));
        let (class, _, shortcut) = found.shortcuts().next().unwrap();
        assert_eq!((class.class, shortcut.place.to_string().as_str()), (1, "the top left corner"));
        let region_test = shortcut.region_test.as_ref().unwrap();
        assert_eq!(region_test.losses.iter().filter(|loss| loss.agrees()).count(), 3, "{region_test:?}");
        assert!(region_test.gain.carries() && region_test.gain.here > 0.9, "{region_test:?}");
        assert!(region_test.most() > 1.0 && found.habits().next().is_none(), "{region_test:?}");
    }

    /// The same heat, but the model counts pixels in the middle only.
    #[test]
    fn a_place_that_only_is_looked_at_is_no_alarm() {
        let found = found(&model(0.0, 5.0));
        assert!(found.shortcuts().next().is_none());
        let (_, _, habit) = found.habits().next().unwrap();
        assert!(habit.region_test.as_ref().unwrap().most() < 0.05, "{habit:?}");
        assert_eq!(found.habits_json(|item| item.to_string())[0]["place"], "the top left corner");
    }

    #[test]
    fn a_place_that_other_classes_need_too_is_no_mark() {
        let loss = EvidenceLoss { fill: Fill::Mean, here: 0.8, matched: 0.0, others: 0.15, p_value: 1e-6 };
        assert!(loss.agrees());
        assert!(!EvidenceLoss { others: 0.3, ..loss }.agrees());
    }

    #[test]
    fn places_are_filled_in_three_ways() {
        let model = model(1.0, 1.0);
        let shape = [1, 1, SIDE, SIDE];
        let options = OpenOptions::default();
        let data =
            ArrayDataset::from_values("X", &shape, ElementType::Float(4), vec![0.0; 256], &options).unwrap();
        let tester = RegionTester::new(&model, &data).unwrap();
        let pixels: Vec<f32> = (0..256).map(|i| if i / 16 < 4 && i % 16 < 4 { 1.0 } else { 0.25 }).collect();
        let corner = BorderRegion::Window { row: 0, column: 0 };
        let at = |fill: Fill| {
            let filled = tester.filled(&pixels, &[0.5; 256], corner, fill);
            assert_eq!(filled[4], 0.25, "outside nothing changes");
            filled[0]
        };
        assert!((at(Fill::Mean) - (16.0 + 240.0 * 0.25) / 256.0).abs() < 1e-6);
        assert_eq!((at(Fill::Surroundings), at(Fill::Another)), (0.25, 0.5));
    }
}
