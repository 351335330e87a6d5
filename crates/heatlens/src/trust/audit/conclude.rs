//! Ranking, verdicts and recommendation from the measurements on each image.

use std::collections::BTreeMap;

use crate::method::{self, Method};
use crate::metric::{self, Aspect, Better, METRICS, Metric};
use crate::random::{Key, Use};
use crate::stats::bootstrap::Bootstrap;
use crate::stats::friedman;
use crate::trust::audit::{
    Agreement, Audit, ImageRecord, MeanEstimate, MethodAudit, MethodRandomization, MethodVerdict,
    ModelVerdict, ReferenceBounds,
};
use crate::trust::model_randomization::RandomizationTest;
use crate::trust::significance::Verdict;

/// Significance level at which a metric must separate the methods to count; a guard against noise, not a proof.
const SEPARATES: f64 = 0.05;
/// Tolerance within which values are ties, as a share of an image's largest value.
const SAME: f64 = 0.005;

/// All measurements of an audit.
#[derive(Debug)]
pub struct Measurements<'a> {
    /// Verdict on the model.
    pub model: ModelVerdict,
    /// Methods, in the order of the records' values.
    pub methods: &'a [&'static Method],
    /// Measurements, one record per image.
    pub records: &'a [ImageRecord],
    /// Result of the randomization test, if it was run.
    pub randomization: Option<&'a RandomizationTest>,
    /// Random seed of the audit.
    pub seed: u64,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// Ranks the methods and judges each.
///
/// The ranking score is the share of other methods that a method beats, image by image, over the metrics of
/// faithfulness. Metrics of different units therefore have equal weight, and a single outlier counts as one image.
/// Confidence intervals are bootstrapped over images, with the same draws for all methods. Metrics that do not
/// separate the methods are excluded: if blanking any part has the same effect, deletion is the same for all,
/// random maps included. A method is faithful if it passes the randomization test and the interval of its lead over
/// every control is entirely above 0.
#[must_use]
pub fn conclude(measurements: Measurements<'_>) -> Audit {
    let Measurements { model, methods, records, randomization, seed, mut notes } = measurements;
    let bootstrap = Bootstrap::new(records.len(), Key::new(seed, Use::Audit).at(u64::MAX - 1));
    let uninformative = uninformative_metrics(methods.len(), records, seed);
    let scores = scores(methods.len(), records, &uninformative);
    let controls = method::controls();
    let is_control = |m: &Method| controls.iter().any(|c| c.id == m.id);
    let lead = |method: usize, control: usize| {
        let difference =
            |i: usize| Some(scores[method].get(i).copied()?? - scores[control].get(i).copied()??);
        let differences: Vec<Option<f64>> = (0..records.len()).map(difference).collect();
        bootstrap.mean(&differences)
    };
    let beats_controls = |m: usize| {
        let against = (0..methods.len()).filter(|&c| is_control(methods[c]));
        against.map(|c| lead(m, c)).all(|lead| lead.is_some_and(|lead| lead.low > 0.0))
    };
    let mut rows: Vec<MethodAudit> = Vec::new();
    for (m, &method) in methods.iter().enumerate() {
        let randomisation = randomization.and_then(|d| d.of(method.id)).cloned();
        let ignores = randomisation.as_ref().is_some_and(MethodRandomization::ignores_model);
        let verdict = match (ignores, beats_controls(m)) {
            (true, _) => MethodVerdict::IgnoresModel,
            (false, true) => MethodVerdict::Faithful,
            (false, false) => MethodVerdict::Weak,
        };
        let nothing = MeanEstimate { mean: 0.0, low: 0.0, high: 0.0, images: 0 };
        rows.push(MethodAudit {
            id: method.id.to_owned(),
            title: method.title.to_owned(),
            control: is_control(method),
            verdict,
            score: bootstrap.mean(&scores[m]).unwrap_or(nothing),
            metrics: metrics(m, records, &bootstrap),
            randomisation,
        });
    }
    let agreement = agreement(methods, records);
    // Methods that ignore the model come last, however good their scores.
    let last = |row: &MethodAudit| row.verdict == MethodVerdict::IgnoresModel && !row.control;
    rows.sort_by(|a, b| last(a).cmp(&last(b)).then(b.score.mean.total_cmp(&a.score.mean)));
    notes.extend(uninformative_note(&uninformative));
    let recommended = recommend(&model, &rows, &mut notes);
    let reference_bounds = randomization.map(|d| ReferenceBounds { edges: d.edges, floor: d.floor });
    let images = records.len();
    let uninformative = uninformative.into_iter().map(str::to_owned).collect();
    Audit {
        model,
        methods: rows,
        recommended,
        agreement,
        reference_bounds,
        uninformative,
        images,
        seed,
        notes,
        ..Audit::default()
    }
}

/// Returns the best non-control method that depends on the model, faithful ones first; `None` for a model at
/// chance.
fn recommend(model: &ModelVerdict, rows: &[MethodAudit], notes: &mut Vec<String>) -> Option<String> {
    if model.judgement.verdict == Verdict::Chance {
        notes.push("no method is recommended: there is no evidence that the model learned".to_owned());
        return None;
    }
    if rows.iter().all(|r| r.score.images == 0) {
        notes.push(
            "no method is recommended: no metric of faithfulness tells the methods apart on this model and these images"
                .to_owned(),
        );
        return None;
    }
    let with = |verdict: MethodVerdict| {
        let found = rows.iter().find(|r| !r.control && r.verdict == verdict && r.score.images > 0);
        found.map(|r| (r.id.clone(), r.title.clone()))
    };
    if let Some((faithful, _)) = with(MethodVerdict::Faithful) {
        return Some(faithful);
    }
    let weak = with(MethodVerdict::Weak);
    notes.push(match &weak {
        Some((_, title)) => {
            format!("no method is measurably better than the controls; {title} is the best of the weak ones")
        }
        None => "no method is recommended: all of them give much the same maps whatever the model's weights"
            .to_owned(),
    });
    weak.map(|(id, _)| id)
}

/// Returns the metrics that do not separate the methods: on this model and these images all methods, random maps
/// included, score the same within noise. This is neither a flaw of the methods nor evidence for any of them.
fn uninformative_metrics(methods: usize, records: &[ImageRecord], seed: u64) -> Vec<&'static str> {
    let says_nothing = |metric: &&&Metric| {
        let measured = |m: &usize| {
            records.iter().any(|r| r.measured.values.get(*m).is_some_and(|v| v.contains_key(metric.id)))
        };
        let measured: Vec<usize> = (0..methods).filter(measured).collect();
        let value = |record: &ImageRecord, m: usize| {
            record.measured.values.get(m).and_then(|v| v.get(metric.id)).copied().unwrap_or(f64::NAN)
        };
        let blocks: Vec<Vec<f64>> =
            records.iter().map(|r| measured.iter().map(|&m| value(r, m)).collect()).collect();
        let key = Key::new(seed, Use::Audit).at(u64::MAX - 3);
        friedman::p_value(&blocks, SAME, key).is_some_and(|p| p > SEPARATES)
    };
    METRICS.iter().filter(|m| m.better != Better::Neither).filter(says_nothing).map(|m| m.id).collect()
}

fn uninformative_note(uninformative: &[&'static str]) -> Option<String> {
    let titles: Vec<&str> = uninformative
        .iter()
        .filter_map(|id| metric::find(id))
        .filter(|m| m.aspect == Aspect::Faithfulness)
        .map(|m| m.title)
        .collect();
    (!titles.is_empty()).then(|| {
        format!(
            "{} cannot tell the methods apart on this model: all do equally well within noise, Random included (Friedman's test, p > {SEPARATES}). Not counted in the ranking and the verdicts.",
            titles.join(", ")
        )
    })
}

/// Returns, for each method and image, the share of the other methods that it beats; `None` if no metric is
/// defined.
fn scores(methods: usize, records: &[ImageRecord], uninformative: &[&str]) -> Vec<Vec<Option<f64>>> {
    let counts = |m: &&Metric| m.aspect == Aspect::Faithfulness && !uninformative.contains(&m.id);
    let ranking: Vec<&Metric> = METRICS.iter().copied().filter(counts).collect();
    let of_image = |record: &ImageRecord| -> Vec<Option<f64>> {
        let defined = |metric: &&&Metric| record.measured.values.iter().any(|v| v.contains_key(metric.id));
        let parts: Vec<Vec<f64>> = ranking.iter().filter(defined).map(|m| beaten(m, record)).collect();
        #[allow(clippy::cast_precision_loss)]
        let mean = |m: usize| {
            parts.iter().map(|p| p.get(m).copied().unwrap_or(0.0)).sum::<f64>() / parts.len() as f64
        };
        (0..methods).map(|m| (!parts.is_empty()).then(|| mean(m))).collect()
    };
    let by_image: Vec<Vec<Option<f64>>> = records.iter().map(of_image).collect();
    (0..methods).map(|m| by_image.iter().map(|image| image[m]).collect()).collect()
}

/// Returns the share of the other methods that each method beats on an image, ties counting half. A missing value
/// loses.
#[allow(clippy::cast_precision_loss)]
fn beaten(metric: &Metric, record: &ImageRecord) -> Vec<f64> {
    let good = |values: &BTreeMap<String, f64>| match (values.get(metric.id), metric.better) {
        (Some(v), Better::Lower) => -v,
        (Some(v), _) => *v,
        (None, _) => f64::NEG_INFINITY,
    };
    let all: Vec<f64> = record.measured.values.iter().map(good).collect();
    let share = |a: &f64| {
        let points: f64 =
            all.iter().map(|b| f64::from(u8::from(a > b)) + f64::from(u8::from(a == b)) / 2.0).sum();
        // Every method ties with itself.
        (points - 0.5) / (all.len() as f64 - 1.0).max(1.0)
    };
    all.iter().map(share).collect()
}

fn metrics(m: usize, records: &[ImageRecord], bootstrap: &Bootstrap) -> BTreeMap<String, MeanEstimate> {
    let value = |record: &ImageRecord, id: &str| record.measured.values.get(m)?.get(id).copied();
    let estimate = |metric: &&Metric| {
        let values: Vec<Option<f64>> = records.iter().map(|record| value(record, metric.id)).collect();
        Some((metric.id.to_owned(), bootstrap.mean(&values)?))
    };
    METRICS.iter().filter_map(estimate).collect()
}

#[allow(clippy::cast_precision_loss)]
fn agreement(methods: &[&'static Method], records: &[ImageRecord]) -> Agreement {
    let n = methods.len();
    let mean = |at: usize| {
        let all = records.iter().filter_map(|r| r.measured.agreement.get(at)).filter(|v| v.is_finite());
        let (sum, count) = all.fold((0.0, 0usize), |(s, c), v| (s + v, c + 1));
        if count > 0 { sum / count as f64 } else { 0.0 }
    };
    let correlation = (0..n).map(|i| (0..n).map(|j| mean(i * n + j)).collect()).collect();
    Agreement { ids: methods.iter().map(|m| m.id.to_owned()).collect(), correlation }
}

#[cfg(test)]
#[path = "conclude_tests.rs"]
mod tests;
