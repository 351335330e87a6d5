//! The demo: all steps on images with known ground truth.
//!
//! [`write_data`] writes the images to disk in the form of a typical data set, [`settings`] trains the two-class
//! network on them, and [`localise`] measures how much of each method's heat falls on the object, whose position the
//! model is never given.

mod data;
mod held_out;
mod table;

use crate::demo_data::{CLASS_NAMES, DemoImage, SIDE};
use crate::explain::{ExplainError, ExplainOptions, Explainer, Target};
use crate::method::{METHODS, Method, Work, controls};
use crate::metric::{chance_share, energy_share};
use crate::model::Model;
use crate::train::arch;
use crate::train::augment::Augmentation;
use crate::train::class_weight::ClassWeight;
use crate::train::fit::TrainingSettings;
use crate::train::optimizer::Algorithm;
use crate::train::schedule::Schedule;
use crate::trust::literature::is_finding;

pub use data::{DemoFolders, write_data};
pub use held_out::explain_held_out;
pub use table::{table, text};

/// Number of images for training and validation, written as files.
pub const IMAGES: usize = 2800;

/// Fraction of these images used for validation.
pub const VALIDATION: f64 = 1.0 / 7.0;

/// Number of held-out images to explain.
pub const SHOWN: usize = 60;

/// Returns the training settings of the demo: the two-class network, with the higher learning rate and the longer
/// training required by global average pooling. At a learning rate of 5e-3 one seed in five failed: all its ReLUs died
/// in the first epochs.
#[must_use]
pub fn settings(seed: u64) -> Option<TrainingSettings> {
    Some(TrainingSettings {
        architecture: arch::find("gap-cnn")?,
        epochs: 80,
        batch_size: 32,
        algorithm: Algorithm::default(),
        learning_rate: 3e-3,
        schedule: Schedule::Cosine { warm_up: 0, min_lr: 0.0 },
        early_stopping: None,
        class_weight: ClassWeight::None,
        augmentation: Augmentation::default(),
        shuffle: true,
        keep_best: true,
        seed,
    })
}

/// Fraction of a method's heat that falls on the object.
#[derive(Clone, Debug)]
pub struct Localisation {
    /// Method that computed the maps.
    pub method: &'static Method,
    /// Mean fraction over the images with the object, 0 to 1.
    pub share: f64,
    /// Mean fraction of evenly distributed heat.
    pub chance: f64,
    /// Fraction of images whose hottest pixel lies on the object.
    pub peak: f64,
}

impl Localisation {
    /// Returns the ratio of the fraction to that of evenly distributed heat.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.share / self.chance
    }

    /// Returns the method's title, marked if the literature warns against the method.
    #[must_use]
    pub fn title(&self) -> String {
        let mark = if self.group() == Group::WarnedAgainst { " †" } else { "" };
        format!("{}{mark}", self.method.title)
    }

    fn group(&self) -> Group {
        if controls().iter().any(|control| control.id == self.method.id) {
            Group::Control
        } else if self.method.caution.is_some_and(is_finding) {
            Group::WarnedAgainst
        } else {
            Group::Explanation
        }
    }
}

/// Groups of the demo's table, in order: methods that the literature warns against come after the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Explanation,
    WarnedAgainst,
    Control,
}

/// Returns the conclusion from the table of [`localise`].
#[must_use]
pub fn conclusion(rows: &[Localisation]) -> String {
    let of = |group: Group| rows.iter().filter(move |row| row.group() == group);
    let best = of(Group::Control).max_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    let Some(best) = best else {
        return "No control was measured, so nothing follows from these numbers.".to_owned();
    };
    let above = |group: Group| of(group).filter(|row| row.ratio() > best.ratio()).count();
    let marked = if of(Group::WarnedAgainst).next().is_some() {
        " Published tests found that the methods marked † hardly depend on the model: their high numbers \
         show that rings have sharp edges, not where the model looks."
    } else {
        ""
    };
    format!(
        "What to conclude: the best control, {}, never looks at the model and still reaches {:.1} times \
         chance, because rings have edges. Only methods above that say something about the model: {} of {} \
         here. A higher rank among them does not prove a better method, since sharp maps win on small \
         objects; heatlens audit measures which method to trust.{marked}",
        best.method.title,
        best.ratio(),
        above(Group::Explanation),
        of(Group::Explanation).count(),
    )
}

/// Measures all single-pass methods on the images with the object, for the class of the object. An image without any
/// heat counts as a fraction of 0.
///
/// # Errors
/// If the model cannot be explained.
pub fn localise(model: &Model, images: &[DemoImage]) -> Result<Vec<Localisation>, ExplainError> {
    let with: Vec<&DemoImage> = images.iter().filter(|image| image.label == 1).collect();
    let methods: Vec<_> = METHODS.iter().copied().filter(|m| matches!(m.work, Work::Graph(_))).collect();
    let options =
        ExplainOptions { target: Target::Class(1), skip_inapplicable: true, ..ExplainOptions::new(&methods) };
    let explainer = Explainer::new(model, &options)?;
    let pixels: Vec<f32> = with.iter().flat_map(|image| image.to_f32()).collect();
    let explanations = explainer.explain(&pixels, with.len())?;
    #[allow(clippy::cast_precision_loss)] // a handful of images
    let count = with.len().max(1) as f64;
    let chance = with.iter().map(|image| chance_share(&image.mask)).sum::<f64>() / count;
    let mean = |map: usize| {
        let share = |(image, explanation): (&&DemoImage, &crate::explain::ImageAttributions)| {
            energy_share(&explanation.attributions[map], [SIDE, SIDE], &image.mask).unwrap_or(0.0)
        };
        with.iter().zip(&explanations).map(share).sum::<f64>() / count
    };
    let peak = |map: usize| {
        let on_it = |(image, explanation): &(&&DemoImage, &crate::explain::ImageAttributions)| {
            let heat = explanation.attributions[map].heat_over([SIDE, SIDE]).unwrap_or_default();
            let largest = heat.iter().copied().fold(0.0, f32::max);
            let at = heat.iter().position(|&v| v > 0.0 && v == largest);
            at.is_some_and(|at| image.mask.get(at) == Some(&true))
        };
        with.iter().zip(&explanations).filter(on_it).count() as f64 / count
    };
    let maps = explainer.maps().iter().enumerate();
    let mut rows: Vec<Localisation> = maps
        .map(|(map, spec)| Localisation { method: spec.method, share: mean(map), chance, peak: peak(map) })
        .collect();
    rows.sort_by_key(Localisation::group); // stable: in the registry's order within a group
    Ok(rows)
}

/// Returns the names of the two classes, as given to the model.
#[must_use]
pub fn class_names() -> Vec<String> {
    CLASS_NAMES.iter().map(|&name| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method;

    #[test]
    fn the_table_crowns_no_method_that_the_literature_warns_against() {
        let row = |id: &str, share: f64| Localisation {
            method: method::find(id).unwrap(),
            share,
            chance: 0.02,
            peak: 0.5,
        };
        let rows =
            [row("grad_cam", 0.2), row("layer_cam", 0.1), row("guided_grad_cam", 0.5), row("edges", 0.14)];
        let text = conclusion(&rows);
        assert!(text.contains("still reaches 7.0 times chance") && text.contains(": 1 of 2 here"), "{text}");
        assert!(text.contains("marked †"), "{text}");
        assert_eq!((rows[2].title().as_str(), rows[0].title().as_str()), ("Guided Grad-CAM †", "Grad-CAM"));
        assert!(rows[0].group() < rows[2].group() && rows[2].group() < rows[3].group());
        assert!(conclusion(&rows[..2]).contains("No control"));
    }
}
