//! Targets that depend on the images: every detection, every class above a probability.

use crate::data::Dataset;
use crate::detector::Detector;
use crate::explain::{ExplainError, Target};
use crate::model::{HeadKind, Model};
use crate::predict::{Predictor, in_batches};
use crate::run::{Monitor, RunError};

/// Most detections of an image, or classes, that are explained.
const MOST: usize = 20;

/// A chosen target, and the probability that a class must exceed to be explained in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenTarget {
    /// The target.
    pub target: Target,
    /// The probability, if every class above one is explained.
    pub at_least: Option<f64>,
}

impl From<Target> for ChosenTarget {
    fn from(target: Target) -> Self {
        Self { target, at_least: None }
    }
}

impl ChosenTarget {
    /// True if these values of `--class` and `--detection` choose a target that depends on the images: `above:P`, or `all`
    /// detections.
    #[must_use]
    pub fn depends_on_images(class: &str, detection: Option<&str>) -> bool {
        detection == Some("all") || detection.is_none() && class.starts_with("above:")
    }
}

/// Returns the target that the values of `--class` and `--detection` choose. All images are scored if it
/// [depends on them](ChosenTarget::depends_on_images).
///
/// # Errors
/// If the values do not fit the model, each other or the images, or if the monitor stops the work.
pub fn choose_target(
    class: &str,
    detection: Option<&str>,
    model: &Model,
    data: &dyn Dataset,
    monitor: &dyn Monitor,
) -> Result<ChosenTarget, RunError> {
    let refused = |why: String| RunError::option("detection")(why);
    let Some(word) = detection else {
        return of_class(class, model, data, monitor);
    };
    if model.head.kind != HeadKind::Detection {
        return Err(refused(format!("the model is not a detector (its head: {})", model.head.kind.name())));
    }
    if class != "predicted" {
        return Err(refused("give either --detection or --class".to_owned()));
    }
    match (word, word.parse()) {
        (_, Ok(0)) => Err(refused("ranks start at 1".to_owned())),
        (_, Ok(rank)) => Ok(Target::Detection(rank).into()),
        ("best", _) => of_word("predicted", model),
        ("all", _) => every_detection(model, data, monitor),
        _ => of_word(word, model),
    }
}

/// Reads `--class`.
fn of_class(
    word: &str,
    model: &Model,
    data: &dyn Dataset,
    monitor: &dyn Monitor,
) -> Result<ChosenTarget, RunError> {
    let Some(least) = word.strip_prefix("above:") else { return of_word(word, model) };
    let p = least.parse().ok().filter(|p| (0.0..1.0).contains(p)).ok_or_else(|| {
        RunError::option("class")(format!("expected above: and a probability, as above:0.5, found {word:?}"))
    })?;
    above(model, data, p, monitor)
}

fn of_word(word: &str, model: &Model) -> Result<ChosenTarget, RunError> {
    Ok(Target::parse(word, model).map_err(|e| RunError::Request(e.to_string()))?.into())
}

/// The detections of the image that has most.
fn every_detection(
    model: &Model,
    data: &dyn Dataset,
    monitor: &dyn Monitor,
) -> Result<ChosenTarget, RunError> {
    let detector = Detector::new(model)?;
    let mut most = 0;
    look(data, monitor, |pixels, n| {
        let counts = detector.detect(pixels, n)?.iter().map(Vec::len).max();
        most = most.max(counts.unwrap_or(0));
        Ok(())
    })?;
    if most > MOST {
        monitor.note(&format!(
            "an image has {most} detections; the {MOST} most confident of each image are \
                explained"
        ));
    }
    Ok(Target::Detections(most.clamp(1, MOST)).into())
}

/// The classes that are above a probability in some image.
fn above(
    model: &Model,
    data: &dyn Dataset,
    least: f64,
    monitor: &dyn Monitor,
) -> Result<ChosenTarget, RunError> {
    if model.head.is_quantity() {
        let why = format!(
            "above:{least} needs probabilities, but the model gives quantities (its head: {})",
            model.head.kind.name()
        );
        return Err(RunError::option("class")(why));
    }
    let (predictor, head) = (Predictor::new(model)?, &model.head);
    let mut counts = vec![0_usize; head.classes()];
    let mut highest = 0.0_f64;
    look(data, monitor, |pixels, n| {
        for logits in predictor.logits(pixels, n)?.chunks_exact(head.outputs.max(1)) {
            for (count, p) in counts.iter_mut().zip(head.probabilities(logits)) {
                *count += usize::from(p > least);
                highest = highest.max(p);
            }
        }
        Ok(())
    })?;
    let mut classes: Vec<usize> = (0..counts.len()).filter(|&class| counts[class] > 0).collect();
    if classes.is_empty() {
        let why = format!("no class is above {least} in any image (the highest probability is {highest:.3})");
        return Err(RunError::option("class")(why));
    }
    if classes.len() > MOST {
        monitor.note(&format!(
            "{} classes are above {least} in some image; the {MOST} most frequent of them are explained",
            classes.len()
        ));
        classes.sort_by_key(|&class| std::cmp::Reverse(counts[class]));
        classes.truncate(MOST);
        classes.sort_unstable();
    }
    Ok(ChosenTarget { target: Target::Classes(classes), at_least: Some(least) })
}

/// Passes the pixels of all readable images to `take`, batch by batch. Unreadable ones are reported when they are explained.
fn look(
    data: &dyn Dataset,
    monitor: &dyn Monitor,
    mut take: impl FnMut(&[f32], usize) -> Result<(), ExplainError>,
) -> Result<(), RunError> {
    let whole = in_batches(data, monitor, |batch| take(&batch.pixels(), batch.items.len()))?;
    // What was seen so far would choose other targets than the whole.
    if whole { Ok(()) } else { Err(RunError::Interrupted) }
}
