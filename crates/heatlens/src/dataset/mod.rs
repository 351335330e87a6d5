//! Analysis of all explanations of a data set.
//!
//! [`Observations`] is a sink that keeps one map of each explained image on a coarse [`HeatGrid`]. [`DatasetFindings`] are
//! derived from these: mean maps by class and outcome, the share of heat on borders and in corners, clusters of
//! similar explanations (`spectral`), and clusters whose heat lies in a region that may give the class away
//! (`shortcut`). [`DatasetFindings::try_out`] tests these regions by filling them in ([`region_test`]). The same images and seed
//! give the same findings.
//! findings.

pub mod border_region;
mod eigen;
pub mod heat_grid;
mod observe;
pub mod region_test;
mod shortcut;
mod spectral;

pub use border_region::BorderRegion;
pub use heat_grid::HeatGrid;
pub use observe::{MAX_OBSERVED, Observation, Observations};
pub use region_test::{RegionTest, RegionTester};
pub use shortcut::{ALPHA, Shortcut};

use serde_json::{Value, json};

use crate::random::{Key, Use};
use crate::run::RunError;
use shortcut::Evidence;

/// Maximum number of classes whose explanations are clustered: the most frequently predicted ones.
pub const MAX_CLASSES: usize = 12;
/// Maximum number of explanations clustered per class; of more, an evenly spaced subset is used.
pub const MAX_CLUSTERED: usize = 200;
/// Number of exemplar images per cluster.
const EXEMPLARS: usize = 6;
/// Minimum size of a cluster.
const SMALLEST_CLUSTER: usize = 2;

/// Results of the analysis of a data set.
#[derive(Clone, Debug, Default)]
pub struct DatasetFindings {
    /// Name of the map analysed.
    pub map: String,
    /// Number of images analysed.
    pub images: usize,
    /// Number of images without heat.
    pub without_heat: usize,
    /// Number of images beyond [`MAX_OBSERVED`].
    pub left_out: usize,
    /// Predicted classes, the most frequent first.
    pub classes: Vec<ClassFindings>,
    /// Number of classes beyond [`MAX_CLASSES`].
    pub classes_left_out: usize,
}

/// Results for one predicted class.
#[derive(Clone, Debug)]
pub struct ClassFindings {
    /// Index of the class.
    pub class: usize,
    /// Name of the class.
    pub name: String,
    /// Mean map of each outcome.
    pub outcomes: Vec<OutcomeMap>,
    /// Clusters of similar explanations, the largest first.
    pub clusters: Vec<Cluster>,
    /// Number of explanations clustered.
    pub clustered: usize,
    /// Total number of explanations with heat.
    pub explanations: usize,
}

/// Relation of an image's label and prediction to a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassOutcome {
    /// Labelled and predicted as the class.
    TruePositive,
    /// Predicted as the class but labelled otherwise.
    FalsePositive,
    /// Labelled as the class but predicted otherwise.
    FalseNegative,
    /// Neither labelled nor predicted as the class.
    TrueNegative,
    /// Predicted as the class, label unknown.
    Said,
}

impl ClassOutcome {
    fn of(row: &Observation, class: usize) -> Option<Self> {
        let says = row.predicted == class;
        match row.label.map(|label| label == class) {
            Some(true) if says => Some(Self::TruePositive),
            Some(true) => Some(Self::FalseNegative),
            Some(false) if says => Some(Self::FalsePositive),
            Some(false) => Some(Self::TrueNegative),
            None => says.then_some(Self::Said),
        }
    }

    /// Returns the usual abbreviation.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::TruePositive => "TP",
            Self::FalsePositive => "FP",
            Self::FalseNegative => "FN",
            Self::TrueNegative => "TN",
            Self::Said => "said",
        }
    }
}

/// Mean map of the images of one outcome.
#[derive(Clone, Debug)]
pub struct OutcomeMap {
    /// The outcome.
    pub outcome: ClassOutcome,
    /// Number of images.
    pub images: usize,
    /// Mean of the images with heat, equally weighted.
    pub mean: Option<HeatGrid>,
}

/// A cluster of similar explanations.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Number of images.
    pub images: usize,
    /// Mean map of the cluster.
    pub mean: HeatGrid,
    /// Exemplars: the hottest images at the shortcut if there is one, otherwise those nearest to the mean.
    pub exemplars: Vec<usize>,
    /// Suspected shortcut, if the heat of the cluster lies in a region that may give the class away.
    pub shortcut: Option<Shortcut>,
}

impl DatasetFindings {
    /// Analyses all observations.
    #[must_use]
    pub fn of(seen: &Observations, seed: u64) -> Self {
        let rows = &seen.rows;
        let mut classes: Vec<(usize, usize)> = Vec::new();
        for row in rows {
            match classes.iter_mut().find(|(class, _)| *class == row.predicted) {
                Some((_, count)) => *count += 1,
                None => classes.push((row.predicted, 1)),
            }
        }
        classes.sort_by_key(|&(class, count)| (std::cmp::Reverse(count), class));
        let classes_left_out = classes.len().saturating_sub(MAX_CLASSES);
        classes.truncate(MAX_CLASSES);
        let key = Key::new(seed, Use::Clusters);
        let findings =
            |&(class, _): &(usize, usize)| class_findings(seen, class, classes.len(), key.at(class as u64));
        let found = classes.iter().map(findings).collect();
        Self {
            map: seen.map.clone(),
            images: rows.len(),
            without_heat: rows.iter().filter(|row| row.grid.is_none()).count(),
            left_out: seen.left_out,
            classes: found,
            classes_left_out,
        }
    }

    /// Tests each region found by filling it in, in the images of `seen`, and predicting again.
    ///
    /// # Errors
    /// If an image can no longer be read.
    pub fn try_out(&mut self, seen: &Observations, tester: &RegionTester<'_>) -> Result<(), RunError> {
        for class in &mut self.classes {
            let mut known: Vec<(BorderRegion, RegionTest)> = Vec::new();
            let (own, others): (Vec<_>, Vec<_>) =
                seen.rows.iter().partition(|row| row.predicted == class.class);
            let others: Vec<(usize, usize)> =
                others.into_iter().map(|row| (row.item, row.predicted)).collect();
            for shortcut in class.clusters.iter_mut().filter_map(|cluster| cluster.shortcut.as_mut()) {
                let place = shortcut.place;
                let region_test = match known.iter().find(|(at, _)| *at == place) {
                    Some((_, region_test)) => region_test.clone(),
                    None => {
                        let hot = |row: &&&Observation| row.grid.as_ref().is_some_and(|g| place.is_hot(g));
                        let hot = own.iter().filter(hot).map(|row| (row.item, row.predicted));
                        tester.try_out(place, &hot.collect::<Vec<_>>(), &others)?
                    }
                };
                known.push((place, region_test.clone()));
                shortcut.region_test = Some(region_test);
            }
        }
        Ok(())
    }

    /// Adds the suspected shortcuts of another map's findings, for classes without a suspected shortcut.
    pub fn take(&mut self, other: Self) {
        for theirs in other.classes {
            let Some(own) = self.classes.iter_mut().find(|own| own.class == theirs.class) else { continue };
            if own
                .clusters
                .iter()
                .any(|cluster| cluster.shortcut.as_ref().is_some_and(Shortcut::is_suspected))
            {
                continue;
            }
            own.clusters.extend(theirs.clusters.into_iter().filter_map(|mut cluster| {
                let shortcut = cluster.shortcut.as_mut().filter(|shortcut| shortcut.is_suspected())?;
                shortcut.by = Some(other.map.clone());
                Some(cluster)
            }));
        }
    }

    /// Returns every cluster with a suspected shortcut.
    pub fn shortcuts(&self) -> impl Iterator<Item = (&ClassFindings, &Cluster, &Shortcut)> {
        self.places().filter(|(_, _, shortcut)| shortcut.is_suspected())
    }

    /// Returns every cluster whose heat lies in one region on which the prediction does not depend.
    pub fn habits(&self) -> impl Iterator<Item = (&ClassFindings, &Cluster, &Shortcut)> {
        self.places().filter(|(_, _, shortcut)| !shortcut.is_suspected())
    }

    fn places(&self) -> impl Iterator<Item = (&ClassFindings, &Cluster, &Shortcut)> {
        let clusters =
            self.classes.iter().flat_map(|class| class.clusters.iter().map(move |cluster| (class, cluster)));
        clusters.filter_map(|(class, cluster)| {
            cluster.shortcut.as_ref().map(|shortcut| (class, cluster, shortcut))
        })
    }

    /// Returns the suspected shortcuts as JSON; `source` returns the source of an item.
    #[must_use]
    pub fn shortcuts_json(&self, source: impl Fn(usize) -> String) -> Value {
        self.shortcuts().map(|found| place_json(found, &source)).collect()
    }

    /// Returns the regions the model always looks at without depending on them, as JSON.
    #[must_use]
    pub fn habits_json(&self, source: impl Fn(usize) -> String) -> Value {
        self.habits().map(|found| place_json(found, &source)).collect()
    }
}

fn place_json(
    (class, cluster, s): (&ClassFindings, &Cluster, &Shortcut),
    source: &impl Fn(usize) -> String,
) -> Value {
    let [top, left, height, width] = s.place.rectangle();
    json!({
        "class": class.name,
        "place": s.place.to_string(),
        "rectangle": { "top": top, "left": left, "height": height, "width": width },
        "images": s.images,
        "of": s.of,
        "in_other_classes": s.elsewhere,
        "of_others": s.of_others,
        "p_value": s.p_value,
        "cluster": cluster.images,
        "by": s.by,
        "trial": s.region_test.as_ref().map(RegionTest::to_json),
        "exemplars": cluster.exemplars.iter().map(|&item| source(item)).collect::<Vec<_>>(),
    })
}

/// Returns the rows of a class's explanations to cluster, and the total number of explanations.
fn clustered(rows: &[Observation], class: usize) -> (Vec<usize>, usize) {
    let all: Vec<usize> =
        (0..rows.len()).filter(|&i| rows[i].predicted == class && rows[i].grid.is_some()).collect();
    let taken = all.len().min(MAX_CLUSTERED);
    ((0..taken).map(|i| all[i * all.len() / taken]).collect(), all.len())
}

fn class_findings(seen: &Observations, class: usize, classes: usize, key: Key) -> ClassFindings {
    let rows = &seen.rows;
    let (chosen, explanations) = clustered(rows, class);
    let grids = |own: bool| {
        let rows = rows.iter().filter(|row| (row.predicted == class) == own);
        rows.map(|row| row.grid.as_ref()).collect::<Vec<_>>()
    };
    let (own, others) = (grids(true), grids(false));
    let judge = |assigned: &[usize]| {
        let count = assigned.iter().max().map_or(0, |most| most + 1);
        let members =
            |c: usize| chosen.iter().zip(assigned).filter(|(_, a)| **a == c).map(|(&i, _)| i).collect();
        let members = (0..count).map(members).filter(|m: &Vec<usize>| m.len() >= SMALLEST_CLUSTER);
        let judged = members.filter_map(|members| {
            let of_cluster: Vec<&HeatGrid> = members.iter().filter_map(|&i| rows[i].grid.as_ref()).collect();
            let evidence = Evidence { cluster: &of_cluster, class: &own, others: &others, classes };
            cluster(rows, &members, evidence.shortcut())
        });
        judged.collect::<Vec<_>>()
    };
    let small: Vec<&HeatGrid> = chosen.iter().filter_map(|&i| rows[i].grid.as_ref()).collect();
    ClassFindings {
        class,
        name: seen.class_names.get(class).cloned().unwrap_or_else(|| class.to_string()),
        outcomes: outcomes(rows, class),
        clusters: telling(spectral::partitions(&small, key).iter().map(|assigned| judge(assigned))),
        clustered: chosen.len(),
        explanations,
    }
}

/// Returns the first partition in which a cluster has a shortcut, or the first of all if there is none.
fn telling(partitions: impl Iterator<Item = Vec<Cluster>>) -> Vec<Cluster> {
    let mut first = None;
    for partition in partitions {
        if partition.iter().any(|cluster| cluster.shortcut.is_some()) {
            return partition;
        }
        first.get_or_insert(partition);
    }
    first.unwrap_or_default()
}

fn outcomes(rows: &[Observation], class: usize) -> Vec<OutcomeMap> {
    let all = [
        ClassOutcome::TruePositive,
        ClassOutcome::FalsePositive,
        ClassOutcome::FalseNegative,
        ClassOutcome::TrueNegative,
        ClassOutcome::Said,
    ];
    let map = |outcome| {
        let of: Vec<&Observation> =
            rows.iter().filter(|row| ClassOutcome::of(row, class) == Some(outcome)).collect();
        let mean = HeatGrid::mean(of.iter().filter_map(|row| row.grid.as_ref()));
        OutcomeMap { outcome, images: of.len(), mean }
    };
    all.into_iter().map(map).filter(|map| map.images > 0).collect()
}

fn cluster(rows: &[Observation], members: &[usize], shortcut: Option<Shortcut>) -> Option<Cluster> {
    let mean = HeatGrid::mean(members.iter().filter_map(|&i| rows[i].grid.as_ref()))?;
    // The hottest at the shortcut first, or else the nearest to the mean.
    let distance = |grid: &HeatGrid| match &shortcut {
        Some(shortcut) => -shortcut.place.share(grid),
        None => grid.cells().iter().zip(mean.cells()).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>(),
    };
    let distance = |i: usize| rows[i].grid.as_ref().map_or(f64::INFINITY, distance);
    let mut nearest: Vec<usize> = members.to_vec();
    nearest.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)).then(a.cmp(&b)));
    let exemplars = nearest.iter().take(EXEMPLARS).map(|&i| rows[i].item).collect();
    Some(Cluster { images: members.len(), mean, exemplars, shortcut })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
