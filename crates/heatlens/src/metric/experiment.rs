//! What is done to an image so that a metric can be read off.
//!
//! An [`Experiment`] makes changed copies of an image and asks the model for their scores, or the method for their
//! maps. Metrics name the experiments they read, and those that name the same one share it.

use std::collections::BTreeMap;

use crate::explain::Attribution;
use crate::metric::Surface;
use crate::random::Key;

/// How much is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Steps of an insertion or deletion curve.
    pub steps: usize,
    /// Shares of pixels kept in turn by ROAD.
    pub road: Vec<f64>,
    /// Squares taken out for infidelity.
    pub squares: usize,
    /// Noisy copies for the sensitivities.
    pub noisy: usize,
}

impl Plan {
    /// What an audit does by default: minutes.
    #[must_use]
    pub fn quick() -> Self {
        Self { steps: 10, road: vec![0.2, 0.4, 0.6, 0.8], squares: 24, noisy: 4 }
    }

    /// What the papers do, where it is affordable at all.
    #[must_use]
    pub fn full() -> Self {
        let road = (1u8..=9).map(|tenth| f64::from(tenth) / 10.0).collect();
        Self { steps: 20, road, squares: 64, noisy: 10 }
    }
}

/// An image before anything is done to it.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Its pixels as the model takes them, c·h·w.
    pub pixels: &'a [f32],
    /// `[c, h, w]`.
    pub shape: [usize; 3],
    /// Where the object is, h·w, if that is known.
    pub mask: Option<&'a [bool]>,
    /// How much is asked.
    pub plan: &'a Plan,
    /// The key of everything random about this image.
    pub key: Key,
}

impl Scene<'_> {
    /// Pixels of a channel.
    #[must_use]
    pub fn area(&self) -> usize {
        self.shape[1] * self.shape[2]
    }

    /// The difference between the largest and the smallest value.
    #[must_use]
    pub fn range(&self) -> f32 {
        let low = self.pixels.iter().copied().fold(f32::INFINITY, f32::min);
        let high = self.pixels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        (high - low).max(0.0)
    }
}

/// An image with one method's map over it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The image.
    pub scene: Scene<'a>,
    /// The map as the method gives it.
    pub attribution: &'a Attribution,
    /// The map over the image.
    pub surface: &'a Surface,
    /// The pixels from the most to the least relevant.
    pub order: &'a [u32],
}

/// Makes changed copies: takes a copy's number, and the image to change.
pub type Make<'a> = Box<dyn Fn(usize, &mut [f32]) + Send + Sync + 'a>;

/// What the copies depend on.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// The image alone: all methods share them.
    Image(for<'a> fn(&'a Scene<'a>) -> Make<'a>),
    /// The map too.
    Map(for<'a> fn(&'a View<'a>) -> Make<'a>),
}

/// What is wanted of the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// The model's scores.
    Scores,
    /// The method's maps, for the class of the unchanged image.
    Maps,
}

/// Changed copies and the question asked of them.
#[derive(Debug)]
pub struct Experiment {
    /// Its name, also in the table of times.
    pub id: &'static str,
    /// What is wanted.
    pub asks: Asks,
    /// How many copies.
    pub passes: fn(&Plan) -> usize,
    /// How they are made.
    pub change: Change,
}

/// How sure the model is of the class explained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// The score that is explained: the class's logit, −z for class 0 of a single logit.
    pub score: f64,
    /// The class's probability.
    pub probability: f64,
}

/// What came back from an experiment.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// One for each copy, if scores were asked for.
    pub scores: Vec<Confidence>,
    /// One for each copy, if maps were asked for.
    pub maps: Vec<Attribution>,
}

impl Answers {
    /// The probability of copy `i`.
    #[must_use]
    pub fn probability(&self, i: usize) -> Option<f64> {
        self.scores.get(i).map(|c| c.probability)
    }
}

/// All that a metric is read from.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The image and the map.
    pub view: View<'a>,
    /// How sure the model is of the unchanged image.
    pub unchanged: Confidence,
    /// What the experiments gave, by their ids.
    pub answers: BTreeMap<&'static str, &'a Answers>,
}

impl Outcome<'_> {
    /// What an experiment gave, if it was made.
    #[must_use]
    pub fn of(&self, experiment: &Experiment) -> Option<&Answers> {
        self.answers.get(experiment.id).copied()
    }
}
