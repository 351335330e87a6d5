//! Test for clusters of explanations that give the class away.
//!
//! A cluster is called a shortcut if at least half of its images are *hot* in one region at the edge of the image
//! (a window of a quarter of its sides, or a strip along a side), and
//!
//! 1. *the region is common*: at least five images, and at least a fifth of those predicted as this class, are hot
//!    there;
//! 2. *it is one-sided*: at least three times as many images are hot there as on average in the regions that
//!    reflections and rotations of the image make of it, and a binomial test rejects that all of these are equally
//!    likely, as they would be for an object that may be anywhere;
//! 3. *it is specific to the class*: images predicted as other classes are hot there at most a third as often, and
//!    Fisher's exact test rejects equal rates.
//!
//! An image is hot in a region if its share of heat there is at least the square root of the region's share of the
//! area. This is the geometric mean of uniform heat and all of the heat: a quarter in a window, four times its
//! share.
//!
//! Both tests must reject, so the larger p-value counts. The hypotheses are pairs of a region and a class, whatever
//! the clusters, so the p-value is multiplied by the number of regions and of classes (Bonferroni). Without a
//! shortcut, objects that are equally likely on all sides are flagged with a probability of at most [`ALPHA`] for a
//! whole data set; the minimum sizes in 1 and 2 allow for maps that are slightly off-centre. The middle is never
//! flagged: its location cannot be distinguished from an object in the middle.
//! its place cannot tell it from an object in the middle.

use crate::dataset::border_region::BorderRegion;
use crate::dataset::heat_grid::HeatGrid;
use crate::dataset::region_test::RegionTest;
use crate::stats::binomial;
use crate::stats::fisher::fisher;

/// Probability of flagging a data set without a shortcut, at most.
pub const ALPHA: f64 = 0.01;
/// Minimum number of hot images; [`LEAST`] is their minimum share of the class.
const FEWEST: usize = 5;
const LEAST: f64 = 0.2;
/// Minimum ratio of the hot images here to those on other sides, and to those of other classes.
const TIMES: f64 = 3.0;

/// A region that may give a class away.
#[derive(Clone, Debug, PartialEq)]
pub struct Shortcut {
    /// The region.
    pub place: BorderRegion,
    /// Number of images predicted as the class that are hot there.
    pub images: usize,
    /// Number of images predicted as the class.
    pub of: usize,
    /// Number of images predicted as other classes that are hot there.
    pub elsewhere: usize,
    /// Number of images predicted as other classes.
    pub of_others: usize,
    /// p-value after multiple-testing correction.
    pub p_value: f64,
    /// Result of filling the region in, if that was tried.
    pub region_test: Option<RegionTest>,
    /// Map that showed the shortcut, if it is not the main map of the findings.
    pub by: Option<String>,
}

impl Shortcut {
    /// Returns true unless a trial cleared the region: filling it in removed the evidence for the class, or was not
    /// tried.
    #[must_use]
    pub fn is_suspected(&self) -> bool {
        self.region_test.as_ref().is_none_or(RegionTest::agrees)
    }
}

/// Data for the test of one cluster.
pub(super) struct Evidence<'a> {
    /// Maps of the cluster.
    pub(super) cluster: &'a [&'a HeatGrid],
    /// Maps of all images predicted as the cluster's class; `None` for images without heat.
    pub(super) class: &'a [Option<&'a HeatGrid>],
    /// Maps of all other images.
    pub(super) others: &'a [Option<&'a HeatGrid>],
    /// Number of classes analysed.
    pub(super) classes: usize,
}

impl Evidence<'_> {
    /// Returns the region that gives the class away, if there is one.
    pub(super) fn shortcut(&self) -> Option<Shortcut> {
        let places = BorderRegion::all();
        let there = |place: BorderRegion| self.cluster.iter().filter(|g| place.is_hot(g)).count();
        // The first of the most common regions.
        let (count, place) =
            places.iter().rev().map(|&place| (there(place), place)).max_by_key(|found| found.0)?;
        if 2 * count < self.cluster.len() {
            return None;
        }
        self.at(place, places.len())
    }

    /// Tests one of `places` regions.
    fn at(&self, place: BorderRegion, places: usize) -> Option<Shortcut> {
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
        // Regions overlap: an image that is hot in two of eight has a probability of one in four to be hot here.
        // Trials with unequal probabilities vary less than as many with the mean probability (Hoeffding 1956), so
        // the test is conservative.
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
            region_test: None,
            by: None,
        })
    }
}

#[cfg(test)]
#[path = "shortcut_tests.rs"]
mod tests;
