//! What a model looks at across a whole data set.
//!
//! [`Observations`] listens while images are explained and keeps one map of each on a coarse [`Grid`]. From these come
//! [`Findings`]: mean maps for each class and outcome, the share of heat on borders and in corners, clusters of
//! explanations that are alike (`spectral`), and clusters whose heat lies where it would give the class away (`shortcut`).
//! Whether it does, [`Findings::try_out`] finds by filling the place in ([`trial`]). The same images and seed give the same
//! findings.

mod eigen;
pub mod grid;
mod observe;
pub mod place;
mod shortcut;
mod spectral;
pub mod trial;

pub use grid::Grid;
pub use observe::{MAX_OBSERVED, Observation, Observations};
pub use place::Place;
pub use shortcut::{ALPHA, Shortcut};
pub use trial::{Prober, Trial};

use serde_json::{Value, json};

use crate::random::{Key, Use};
use crate::run::RunError;
use shortcut::Evidence;

/// Most classes whose clusters are looked for: those that the model gives most often.
pub const MAX_CLASSES: usize = 12;
/// Most explanations of a class that are clustered: of more, these many at even distances.
pub const MAX_CLUSTERED: usize = 200;
/// Images that stand for a cluster.
const EXEMPLARS: usize = 6;
/// A cluster of fewer images is no strategy.
const SMALLEST_CLUSTER: usize = 2;

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The map that was looked at.
    pub map: String,
    /// Images looked at.
    pub images: usize,
    /// Images without any heat.
    pub without_heat: usize,
    /// Images beyond [`MAX_OBSERVED`].
    pub left_out: usize,
    /// The classes that the model gives, the most frequent first.
    pub classes: Vec<ClassFindings>,
    /// Classes beyond [`MAX_CLASSES`].
    pub classes_left_out: usize,
}

/// What the model looks at for one class.
#[derive(Clone, Debug)]
pub struct ClassFindings {
    /// Its number.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// The mean maps.
    pub outcomes: Vec<OutcomeMap>,
    /// Explanations that are alike, the largest cluster first.
    pub clusters: Vec<Cluster>,
    /// How many explanations were clustered.
    pub clustered: usize,
    /// How many there are.
    pub explanations: usize,
}

/// How an image stands to a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is of the class, and the model says so.
    TruePositive,
    /// It is not, but the model says so.
    FalsePositive,
    /// It is, but the model says otherwise.
    FalseNegative,
    /// It is not, and the model does not say so.
    TrueNegative,
    /// The model says so; what it is, is not known.
    Said,
}

impl Outcome {
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

    /// The usual two letters.
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

/// The mean map of the images of one outcome.
#[derive(Clone, Debug)]
pub struct OutcomeMap {
    /// The outcome.
    pub outcome: Outcome,
    /// Images.
    pub images: usize,
    /// The mean of those with heat, each image counting the same.
    pub mean: Option<Grid>,
}

/// Explanations that are alike.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// How many.
    pub images: usize,
    /// Their mean.
    pub mean: Grid,
    /// Items that stand for it: the hottest at the shortcut, or else those nearest to the mean.
    pub exemplars: Vec<usize>,
    /// Whether it gives the class away.
    pub shortcut: Option<Shortcut>,
}

impl Findings {
    /// Looks at everything that was observed.
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

    /// Fills in every place at which a cluster's heat lies, in the images that were `seen`, and asks the model again.
    ///
    /// # Errors
    /// If an image cannot be read any more.
    pub fn try_out(&mut self, seen: &Observations, prober: &Prober<'_>) -> Result<(), RunError> {
        for class in &mut self.classes {
            let mut known: Vec<(Place, Trial)> = Vec::new();
            let (own, others): (Vec<_>, Vec<_>) =
                seen.rows.iter().partition(|row| row.predicted == class.class);
            let others: Vec<(usize, usize)> =
                others.into_iter().map(|row| (row.item, row.predicted)).collect();
            for shortcut in class.clusters.iter_mut().filter_map(|cluster| cluster.shortcut.as_mut()) {
                let place = shortcut.place;
                let trial = match known.iter().find(|(at, _)| *at == place) {
                    Some((_, trial)) => trial.clone(),
                    None => {
                        let hot = |row: &&&Observation| row.grid.as_ref().is_some_and(|g| place.is_hot(g));
                        let hot = own.iter().filter(hot).map(|row| (row.item, row.predicted));
                        prober.try_out(place, &hot.collect::<Vec<_>>(), &others)?
                    }
                };
                known.push((place, trial.clone()));
                shortcut.trial = Some(trial);
            }
        }
        Ok(())
    }

    /// Takes over what another map's findings suspect of classes of which these suspect nothing.
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

    /// Every cluster that is suspected to give its class away.
    pub fn shortcuts(&self) -> impl Iterator<Item = (&ClassFindings, &Cluster, &Shortcut)> {
        self.places().filter(|(_, _, shortcut)| shortcut.is_suspected())
    }

    /// Every cluster whose heat lies at one place, on which the class does not hang.
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

    /// The suspected shortcuts as JSON; `source` says where an item comes from.
    #[must_use]
    pub fn shortcuts_json(&self, source: impl Fn(usize) -> String) -> Value {
        self.shortcuts().map(|found| place_json(found, &source)).collect()
    }

    /// Where the model always looks, without the class hanging on it, as JSON.
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
        "trial": s.trial.as_ref().map(Trial::to_json),
        "exemplars": cluster.exemplars.iter().map(|&item| source(item)).collect::<Vec<_>>(),
    })
}

/// The explanations of a class that are clustered, as rows.
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
            let of_cluster: Vec<&Grid> = members.iter().filter_map(|&i| rows[i].grid.as_ref()).collect();
            let evidence = Evidence { cluster: &of_cluster, class: &own, others: &others, classes };
            cluster(rows, &members, evidence.shortcut())
        });
        judged.collect::<Vec<_>>()
    };
    let small: Vec<&Grid> = chosen.iter().filter_map(|&i| rows[i].grid.as_ref()).collect();
    ClassFindings {
        class,
        name: seen.class_names.get(class).cloned().unwrap_or_else(|| class.to_string()),
        outcomes: outcomes(rows, class),
        clusters: telling(spectral::partitions(&small, key).iter().map(|assigned| judge(assigned))),
        clustered: chosen.len(),
        explanations,
    }
}

/// The first partition in which a cluster gives the class away; the first of all if there is none.
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
        Outcome::TruePositive,
        Outcome::FalsePositive,
        Outcome::FalseNegative,
        Outcome::TrueNegative,
        Outcome::Said,
    ];
    let map = |outcome| {
        let of: Vec<&Observation> =
            rows.iter().filter(|row| Outcome::of(row, class) == Some(outcome)).collect();
        let mean = Grid::mean(of.iter().filter_map(|row| row.grid.as_ref()));
        OutcomeMap { outcome, images: of.len(), mean }
    };
    all.into_iter().map(map).filter(|map| map.images > 0).collect()
}

fn cluster(rows: &[Observation], members: &[usize], shortcut: Option<Shortcut>) -> Option<Cluster> {
    let mean = Grid::mean(members.iter().filter_map(|&i| rows[i].grid.as_ref()))?;
    // The most telling first: the hottest at the shortcut, or else those nearest to the mean.
    let distance = |grid: &Grid| match &shortcut {
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
