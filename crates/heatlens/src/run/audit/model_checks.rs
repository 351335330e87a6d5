//! Audit of the model and of its images: the model's verdict, duplicates, and images unlike the training data.

use rayon::prelude::*;

use crate::data::{OpenOptions, Sample, open_training};
use crate::extremes::extremes;
use crate::predict::Batch;
use crate::run::audit::steps::Work;
use crate::run::{AuditRequest, RunError};
use crate::trust::audit::{Judged, ModelVerdict, Purpose, judge as judge_scores};
use crate::trust::dead_channels::dead_layers;
use crate::trust::duplicates::{Fingerprint, between, within};
use crate::trust::model_problems::dead_channel_problems;

/// Maximum number of images on which the model is judged; the first ones are used.
const MOST_IMAGES: usize = 10_000;
/// Number of images used to find dead channels.
const ACTIVITY_IMAGES: usize = 128;
/// Batch size.
const TOGETHER: usize = 32;
/// Maximum number of duplicate pairs listed by name.
const NAMED: usize = 3;

/// Judges the model on the images, and the images themselves.
pub(super) fn judge(work: &Work<'_>, request: &AuditRequest) -> Result<ModelVerdict, RunError> {
    let Work { data, clock, .. } = work;
    let seen = clock.time("model", || look_at(work))?;
    let model = work.auditor.model();
    let labels: Vec<Option<usize>> = seen.items.iter().map(|&item| data.label(item)).collect();
    let mut verdict = judge_scores(Judged {
        model,
        logits: &seen.logits,
        labels: &labels,
        purpose: Purpose::Given,
        selected_among: 1,
        seed: request.seed,
    });
    let active = seen.items.len().min(ACTIVITY_IMAGES);
    let dead = clock.time("model", || dead_layers(model, &seen.pixels, active))?;
    verdict.problems.extend(dead_channel_problems(&dead, false));
    verdict.dead = dead;
    let [low, high] = extremes(&seen.pixels);
    verdict.problems.extend(model.range_problem(low, high));
    clock.time("duplicates", || duplicates(work, &seen, request, &mut verdict))?;
    Ok(verdict)
}

/// Data collected from the images.
#[derive(Default)]
struct Seen {
    items: Vec<usize>,
    logits: Vec<f32>,
    prints: Vec<Fingerprint>,
    /// Mean and standard deviation of each image's pixels.
    moments: Vec<[f64; 2]>,
    /// Pixels of the first images.
    pixels: Vec<f32>,
}

fn look_at(work: &Work<'_>) -> Result<Seen, RunError> {
    let Work { auditor, data, monitor, .. } = *work;
    let mut seen = Seen::default();
    let total = data.len().min(MOST_IMAGES);
    monitor.begin(total, "images judged");
    for start in (0..total).step_by(TOGETHER) {
        let items: Vec<usize> = (start..total.min(start + TOGETHER)).collect();
        let batch = Batch::read(data, &items);
        batch.broken.iter().for_each(|(item, reason)| work.report_broken(*item, reason));
        let still = ACTIVITY_IMAGES.saturating_sub(seen.items.len());
        seen.pixels.extend(batch.samples.iter().take(still).flat_map(|sample| &sample.pixels));
        seen.logits.extend(auditor.logits(&batch.pixels(), batch.items.len())?);
        let (prints, moments) = prints_and_moments(&batch);
        seen.prints.extend(prints);
        seen.moments.extend(moments);
        seen.items.extend(batch.items);
        if !monitor.advance(TOGETHER.min(total - start)) {
            monitor.end();
            return Err(RunError::Interrupted);
        }
    }
    monitor.end();
    Ok(seen)
}

/// Returns for each image its fingerprint, and the mean and standard deviation of its pixels.
fn prints_and_moments(batch: &Batch) -> (Vec<Fingerprint>, Vec<[f64; 2]>) {
    let of = |sample: &Sample| (Fingerprint::of(&sample.display), moments(&sample.pixels));
    batch.samples.par_iter().map(of).unzip()
}

#[allow(clippy::cast_precision_loss)]
fn moments(pixels: &[f32]) -> [f64; 2] {
    let n = pixels.len().max(1) as f64;
    let mean = pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = pixels.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    [mean, variance.sqrt()]
}

/// Reports duplicates, and images that are unlike the training data.
fn duplicates(
    work: &Work<'_>,
    seen: &Seen,
    request: &AuditRequest,
    verdict: &mut ModelVerdict,
) -> Result<(), RunError> {
    let Work { auditor, data, monitor, .. } = *work;
    let twice = within(&seen.prints);
    let source = |i: usize| data.source(seen.items[i]);
    if !twice.is_empty() {
        let pairs = twice.iter().map(|&(a, b)| (source(a), source(b)));
        verdict.problems.push(format!(
            "{} of {} images are duplicates ({}); each copy counts in every figure",
            twice.len(),
            seen.prints.len(),
            named(pairs)
        ));
    }
    let Some(path) = &request.train_data else {
        verdict.unchecked.push(
            "whether any of these images were used for training: give the training images with \
                --train-data"
                .to_owned(),
        );
        verdict.unchecked.push(
            "whether these images resemble the training images: the model file does not describe them, so \
             give them with --train-data"
                .to_owned(),
        );
        return Ok(());
    };
    let like = OpenOptions {
        preprocessing: Some(data.preprocessing().clone()),
        class_names: Some(data.class_names().to_vec()).filter(|names| !names.is_empty()),
        numbers: auditor.model().arrays,
        ..request.data.options()?
    };
    let training = open_training(path, &OpenOptions { rows: None, ..like })?;
    let (mut prints, mut known, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    let items: Vec<usize> = (0..training.len().min(MOST_IMAGES)).collect();
    for some in items.chunks(TOGETHER) {
        let batch = Batch::read(training.as_ref(), some);
        for (item, reason) in &batch.broken {
            monitor.broken(&training.source(*item), &reason.to_string());
        }
        let (more, moments) = prints_and_moments(&batch);
        prints.extend(more);
        known.extend(moments);
        sources.extend(batch.items.iter().map(|&item| training.source(item)));
        if !monitor.advance(0) {
            return Err(RunError::Interrupted);
        }
    }
    let leaked = between(&seen.prints, &prints);
    if !leaked.is_empty() {
        let pairs = leaked.iter().map(|&(a, b)| (source(a), sources[b].clone()));
        verdict.problems.push(format!(
            "{} of {} images were used for training ({}): the model may have memorised them, so the accuracy \
             says little",
            leaked.len(),
            seen.prints.len(),
            named(pairs)
        ));
    }
    let far = far(&seen.moments, &known);
    if far > 0 {
        verdict.problems.push(format!(
            "{far} of {} images are darker, brighter, or of lower or higher contrast than any training \
             image: check how they are prepared",
            seen.moments.len()
        ));
    }
    Ok(())
}

fn named(pairs: impl ExactSizeIterator<Item = (String, String)>) -> String {
    let more = if pairs.len() > NAMED { ", …" } else { "" };
    let shown: Vec<String> = pairs.take(NAMED).map(|(a, b)| format!("{a} and {b}")).collect();
    format!("{}{more}", shown.join(", "))
}

/// Returns the number of images whose mean or standard deviation lies outside the range of the training data, extended
/// by a tenth on both sides.
fn far(images: &[[f64; 2]], known: &[[f64; 2]]) -> usize {
    let range = |which: usize| {
        let of = known.iter().map(|m| m[which]);
        let (low, high) = (of.clone().fold(f64::INFINITY, f64::min), of.fold(f64::NEG_INFINITY, f64::max));
        let spare = (high - low) / 10.0;
        (low - spare, high + spare)
    };
    let ranges = [range(0), range(1)];
    let outside = |m: &&[f64; 2]| m.iter().zip(ranges).any(|(v, (low, high))| *v < low || *v > high);
    images.iter().filter(outside).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_outside_the_range_are_far() {
        let known = [[0.2, 0.1], [0.6, 0.2]];
        assert_eq!(far(&[[0.4, 0.15], [0.63, 0.2], [0.7, 0.15], [0.4, 0.5]], &known), 2);
        assert_eq!(moments(&[1.0, 3.0]), [2.0, 1.0]);
    }
}
