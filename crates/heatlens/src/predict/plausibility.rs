//! Plausibility check on a few images: checks their values and the model's predictions, and tries other preprocessing.

use crate::data::{Dataset, Preset};
use crate::explain::ExplainError;
use crate::model::Model;
use crate::predict::Predictor;

/// Number of images examined, evenly spread over all.
const IMAGES: usize = 6;
/// Minimum number of images for comparing predictions.
const FEWEST: usize = 3;
/// Difference of probabilities below which predictions are considered equal.
const ALIKE: f64 = 0.1;
/// Confidence from which equal predictions may be correct, if all images are of the same class.
const SURE: f64 = 0.9;
/// Minimum increase of both mean top probability and information for a preset to be recommended.
const FAR_MORE: f64 = 0.2;
/// Minimum increase of each for a hint, if there are many classes.
const MORE: [f64; 2] = [0.05, 0.02];
const MANY_CLASSES: usize = 10;

/// Returns notes on problems with the data or the model's predictions, one sentence each; empty if everything is as
/// expected.
///
/// If the preprocessing is an assumption, the common presets are tried on the first images.
///
/// # Errors
/// If an operator has no kernel.
pub fn check_plausibility(model: &Model, data: &dyn Dataset) -> Result<Vec<String>, ExplainError> {
    let step = data.len().div_ceil(IMAGES).max(1);
    let items: Vec<usize> = (0..data.len()).step_by(step).collect();
    let loaded: Vec<(usize, Vec<f32>)> =
        items.into_iter().filter_map(|item| Some((item, data.load(item).ok()?.pixels))).collect();
    let values = loaded.iter().flat_map(|(_, pixels)| pixels).copied().filter(|v| v.is_finite());
    let (low, high) =
        values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let mut notes: Vec<String> = model.range_problem(low, high).into_iter().collect();
    if loaded.len() < FEWEST || model.head.is_quantity() || model.head.dense.is_some() {
        return Ok(notes);
    }
    let images: Vec<&[f32]> = loaded.iter().map(|(_, pixels)| pixels.as_slice()).collect();
    let predictor = Predictor::new(model)?;
    let answers = Answers::of(&predictor, model, images.iter().map(|pixels| pixels.to_vec()))?;
    let mut labels: Vec<usize> = loaded.iter().filter_map(|(item, _)| data.label(*item)).collect();
    labels.sort_unstable();
    labels.dedup();
    notes.extend(answers.alike(labels.len() > 1));
    if model.preprocessing_assumed() && low >= 0.0 && high <= 1.0 {
        let comparison = Comparison::new(&predictor, model, &images, answers)?;
        notes.extend(comparison.note());
    }
    Ok(notes)
}

/// Predictions for some images.
#[derive(Clone, Debug)]
struct Answers {
    /// Probabilities of all classes, for each image.
    rows: Vec<Vec<f64>>,
}

impl Answers {
    fn of(
        predictor: &Predictor,
        model: &Model,
        images: impl Iterator<Item = Vec<f32>>,
    ) -> Result<Self, ExplainError> {
        let row = |pixels: Vec<f32>| Ok(model.head.probabilities(&predictor.logits(&pixels, 1)?));
        Ok(Self { rows: images.map(row).collect::<Result<_, ExplainError>>()? })
    }

    /// Returns the mean top probability.
    fn confidence(&self) -> f64 {
        let top = |row: &Vec<f64>| row.iter().copied().fold(0.0, f64::max);
        self.rows.iter().map(top).sum::<f64>() / self.rows.len().max(1) as f64
    }

    /// Returns the mutual information between predictions and images, in nats: the entropy of the mean prediction minus
    /// the mean entropy. It is 0 if all predictions are equal, however confident, and large if each is confident of a
    /// different class.
    fn information(&self) -> f64 {
        let entropy = |row: &[f64]| -row.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
        let n = self.rows.len().max(1) as f64;
        let classes = self.rows.first().map_or(0, Vec::len);
        let mean: Vec<f64> =
            (0..classes).map(|k| self.rows.iter().map(|row| row[k]).sum::<f64>() / n).collect();
        entropy(&mean) - self.rows.iter().map(|row| entropy(row)).sum::<f64>() / n
    }

    /// Returns the largest difference of a class's probability between two images.
    fn spread(&self) -> f64 {
        let classes = self.rows.first().map_or(0, Vec::len);
        let spread = |k: usize| {
            let of = self.rows.iter().map(|row| row[k]);
            of.clone().fold(0.0, f64::max) - of.fold(1.0, f64::min)
        };
        (0..classes).map(spread).fold(0.0, f64::max)
    }

    /// Returns a note if the predictions for all images are almost equal. A model that is confident of one class may be
    /// right, unless the images have several classes.
    fn alike(&self, several_classes: bool) -> Option<String> {
        let (spread, confidence) = (self.spread(), self.confidence());
        let strange = spread < ALIKE && (several_classes || confidence < SURE);
        strange.then(|| {
            format!(
                "the predictions for {} different images are almost the same (no class's probability differs \
                 by more than {spread:.2}): check that images are prepared as in training (--preset, \
                 --scale, --mean, --std)",
                self.rows.len()
            )
        })
    }
}

/// Predictions for the same images with all common presets.
struct Comparison {
    assumed: Answers,
    others: Vec<(Preset, Answers)>,
}

impl Comparison {
    /// Compares presets on `images`, given as pixels from 0 to 1, the assumed range.
    fn new(
        predictor: &Predictor,
        model: &Model,
        images: &[&[f32]],
        assumed: Answers,
    ) -> Result<Self, ExplainError> {
        let mut others = Vec::new();
        for preset in [Preset::Imagenet, Preset::Tf, Preset::Caffe, Preset::Raw] {
            let mut settings = model.preprocessing.clone();
            // Presets for colour images do not apply to grey ones.
            if preset.apply(&mut settings).is_err() {
                continue;
            }
            let prepared = images.iter().map(|pixels| {
                let mut pixels = pixels.to_vec();
                settings.prepare(&mut pixels);
                pixels
            });
            others.push((preset, Answers::of(predictor, model, prepared)?));
        }
        Ok(Self { assumed, others })
    }

    /// Returns a note on the preset with the highest confidence and information, if it is sufficiently better.
    ///
    /// Larger input values make many networks more confident, whether they are correct or not, so small differences are
    /// a hint at most.
    fn note(&self) -> Option<String> {
        let assumed = &self.assumed;
        let gains = |answers: &Answers| {
            [answers.confidence() - assumed.confidence(), answers.information() - assumed.information()]
        };
        let best = self.others.iter().max_by(|a, b| a.1.information().total_cmp(&b.1.information()))?;
        let (preset, answers) = best;
        let [confidence, information] = gains(answers);
        let many = assumed.rows.first().is_some_and(|row| row.len() >= MANY_CLASSES);
        let (how, doubt) = match (confidence > FAR_MORE && information > FAR_MORE, many) {
            (true, _) => ("far more confident", ""),
            (false, true) if confidence > MORE[0] && information > MORE[1] => {
                ("more confident", ": a hint, not proof")
            }
            _ => return None,
        };
        Some(format!(
            "with --preset {preset} the model would be {how}, and its predictions would differ more: mean \
             top probability {:.2} instead of {:.2} for {} of the images{doubt}",
            answers.confidence(),
            assumed.confidence(),
            assumed.rows.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(rows: &[&[f64]]) -> Answers {
        Answers { rows: rows.iter().map(|row| row.to_vec()).collect() }
    }

    #[test]
    fn the_same_answer_to_all_is_named_unless_it_may_be_right() {
        let vague = answers(&[&[0.55, 0.45], &[0.52, 0.48], &[0.5, 0.5]]);
        assert!(vague.alike(false).unwrap().contains("no class's probability differs by more than 0.05"));
        let sure = answers(&[&[1.0, 0.0], &[0.99, 0.01], &[1.0, 0.0]]);
        assert_eq!(sure.alike(false), None);
        assert!(sure.alike(true).is_some());
        assert_eq!(answers(&[&[0.9, 0.1], &[0.1, 0.9], &[0.5, 0.5]]).alike(true), None);
    }

    #[test]
    fn a_preset_is_named_where_it_tells_the_images_apart() {
        let vague = answers(&[&[0.4, 0.3, 0.3], &[0.3, 0.4, 0.3], &[0.3, 0.3, 0.4]]);
        let clear = answers(&[&[0.9, 0.1, 0.0], &[0.0, 0.9, 0.1], &[0.1, 0.0, 0.9]]);
        let stuck = answers(&[&[1.0, 0.0, 0.0], &[1.0, 0.0, 0.0], &[1.0, 0.0, 0.0]]);
        assert!(stuck.information().abs() < 1e-6 && clear.information() > 0.7);
        let note = |others| Comparison { assumed: vague.clone(), others }.note();
        assert_eq!(note(vec![(Preset::Raw, stuck.clone())]), None, "sure of one class for all");
        let said = note(vec![(Preset::Raw, stuck), (Preset::Caffe, clear.clone())]).unwrap();
        assert!(said.contains("--preset caffe") && said.contains("0.90 instead of 0.40"), "{said}");
        let fine = Comparison { assumed: clear.clone(), others: vec![(Preset::Caffe, clear)] };
        assert_eq!(fine.note(), None);
    }
}
