//! Does a cluster of explanations give the class away?
//!
//! A cluster is called a shortcut if at least half of its images are *hot* at one place at the edge of the image (a
//! window of a quarter of its sides, or a strip along a side), and
//!
//! 1. *it is common*: at least five images and a fifth of those that the model gives this class are hot there;
//! 2. *no other side is like it*: were it an object that may be anywhere, as many images would be hot at each of the
//!    places that mirroring and turning the image makes of this one; at least three times as many as at those on
//!    average, and a binomial test;
//! 3. *it goes with the class*: images that the model gives other classes are hot there at most a third as often, and
//!    Fisher's exact test.
//!
//! Hot at a place is an image whose share of heat there is at least the square root of the place's share of the area,
//! midway (by factors) between evenly spread heat and all of it: a quarter in a window, four times its share.
//!
//! Both tests must hold, so the larger p-value counts. What is tested is a place and a class, whatever the clusters, so
//! it is multiplied by the number of places and of classes (Bonferroni). Without a shortcut, objects that are as
//! likely on one side as on another are flagged with a probability of at most [`ALPHA`] for a whole data set; the
//! sizes asked for in 1 and 2 leave room for maps that lie a little askew. What lies in the middle is never flagged:
//! its place cannot tell it from an object in the middle.

use crate::dataset::grid::Grid;
use crate::dataset::place::Place;
use crate::dataset::trial::Trial;
use crate::stats::binomial;
use crate::stats::fisher::fisher;

/// How likely a data set without a shortcut may be flagged.
pub const ALPHA: f64 = 0.01;
/// The fewest images, and the least part of the class.
const FEWEST: usize = 5;
const LEAST: f64 = 0.2;
/// How many times as many images must be hot there as at the other sides, and as in other classes.
const TIMES: f64 = 3.0;

/// A place that gives a class away.
#[derive(Clone, Debug, PartialEq)]
pub struct Shortcut {
    /// Where.
    pub place: Place,
    /// Images of the class that are hot there.
    pub images: usize,
    /// Images that the model gives this class.
    pub of: usize,
    /// Images of other classes that are.
    pub elsewhere: usize,
    /// Images of other classes.
    pub of_others: usize,
    /// The p-value after correction.
    pub p_value: f64,
    /// What came of filling the place in, if that was tried.
    pub trial: Option<Trial>,
    /// The map that showed it, where it is not the findings' own.
    pub by: Option<String>,
}

impl Shortcut {
    /// Whether nothing speaks against it: filled in, the place took the class's evidence away, or was not tried.
    #[must_use]
    pub fn is_suspected(&self) -> bool {
        self.trial.as_ref().is_none_or(Trial::agrees)
    }
}

/// What the rule compares.
pub(super) struct Evidence<'a> {
    /// The cluster.
    pub(super) cluster: &'a [&'a Grid],
    /// All images that the model gives the cluster's class, those without heat too.
    pub(super) class: &'a [Option<&'a Grid>],
    /// All other images.
    pub(super) others: &'a [Option<&'a Grid>],
    /// Classes looked at.
    pub(super) classes: usize,
}

impl Evidence<'_> {
    /// The place that gives the class away, if there is one.
    pub(super) fn shortcut(&self) -> Option<Shortcut> {
        let places = Place::all();
        let there = |place: Place| self.cluster.iter().filter(|g| place.is_hot(g)).count();
        // The first of the most common places.
        let (count, place) =
            places.iter().rev().map(|&place| (there(place), place)).max_by_key(|found| found.0)?;
        if 2 * count < self.cluster.len() {
            return None;
        }
        self.at(place, places.len())
    }

    /// Judges one of so many places.
    fn at(&self, place: Place, places: usize) -> Option<Shortcut> {
        let equivalents = place.equivalents();
        let (mut here, mut at_any, mut hits) = (0, 0, 0);
        for grid in self.class.iter().flatten() {
            let at = equivalents.iter().filter(|p| p.is_hot(grid)).count();
            here += usize::from(place.is_hot(grid));
            at_any += u64::from(at > 0);
            hits += at;
        }
        let elsewhere = self.others.iter().flatten().filter(|g| place.is_hot(g)).count();
        let (of, of_others) = (self.class.len(), self.others.len());
        let share = |images: usize, of: usize| images as f64 / of.max(1) as f64;
        let common = here >= FEWEST && share(here, of) >= LEAST;
        let one_sided = here as f64 >= TIMES * share(hits - here, equivalents.len() - 1);
        let own = of_others > 0 && share(here, of) >= TIMES * share(elsewhere, of_others);
        // Places overlap: an image that is hot at two of eight has one chance in four to be hot here. Trials of unequal
        // chances spread less than as many of their mean (Hoeffding 1956), so the test errs on the cautious side.
        let chance = hits as f64 / (equivalents.len() as f64 * at_any.max(1) as f64);
        let p = binomial::upper_tail(here as u64, at_any, chance).max(fisher(here, of, elsewhere, of_others));
        let p_value = (p * (places * self.classes.max(1)) as f64).min(1.0);
        let found = common && one_sided && own && p_value <= ALPHA;
        found.then_some(Shortcut {
            place,
            images: here,
            of,
            elsewhere,
            of_others,
            p_value,
            trial: None,
            by: None,
        })
    }
}

#[cfg(test)]
#[path = "shortcut_tests.rs"]
mod tests;
