//! Tests of ranking and verdicts on synthetic measurements.

use super::*;
use crate::metric::ImageMetrics;
use crate::trust::audit::MethodRandomization;
use crate::trust::model_randomization::SimilarityRetained;
use crate::trust::significance::Judgement;

const METHODS: [&str; 4] = ["grad_cam", "guided_backprop", "random", "edges"];

/// Creates records with each method's deletion value taken from `deletion`, with noise.
fn records(deletion: [f64; 4]) -> Vec<ImageRecord> {
    let record = |item: usize| {
        let mut rng = Key::new(1, Use::Audit).at(item as u64).rng();
        let values = deletion.map(|d| BTreeMap::from([("deletion".to_owned(), d + 0.05 * rng.normal())]));
        let measured =
            ImageMetrics { values: values.to_vec(), agreement: vec![0.5; 16], ..ImageMetrics::default() };
        ImageRecord { item, measured, ..ImageRecord::default() }
    };
    (0..40).map(record).collect()
}

fn randomization(similarity: [f64; 4]) -> RandomizationTest {
    let one = |mean: f64| MethodRandomization {
        similarity: MeanEstimate { mean, low: mean, high: mean, images: 10 },
        rank_correlation: mean,
        structure: mean,
        floor: 0.1,
        kept: vec![SimilarityRetained {
            same_image: mean,
            other_image: 0.1,
            own: 1.0,
            lead: MeanEstimate { mean: mean - 0.4, low: mean - 0.45, high: mean - 0.35, images: 10 },
        }],
        cascade: Vec::new(),
        independent: Vec::new(),
    };
    let methods = METHODS.iter().zip(similarity).map(|(id, s)| ((*id).to_owned(), one(s))).collect();
    RandomizationTest { edges: 1.0, floor: 0.1, methods }
}

fn audit(deletion: [f64; 4], similarity: [f64; 4], verdict: Verdict) -> Audit {
    let methods: Vec<_> = METHODS.iter().map(|id| method::find(id).unwrap()).collect();
    conclude(Measurements {
        model: ModelVerdict {
            judgement: Judgement { verdict, ..Judgement::default() },
            ..ModelVerdict::default()
        },
        methods: &methods,
        records: &records(deletion),
        randomization: Some(&randomization(similarity)),
        seed: 0,
        notes: Vec::new(),
    })
}

fn verdict(audit: &Audit, id: &str) -> MethodVerdict {
    audit.methods.iter().find(|m| m.id == id).unwrap().verdict
}

#[test]
fn the_best_that_looks_at_the_model_is_recommended() {
    use MethodVerdict::{Faithful, IgnoresModel, Weak};
    // Guided backpropagation has the better curve, but ignores the model; so do the controls.
    let found = audit([0.3, 0.2, 0.6, 0.5], [0.2, 0.8, 1.0, 1.0], Verdict::Learned);
    let ids: Vec<&str> = found.methods.iter().map(|m| m.id.as_str()).collect();
    assert_eq!((ids[0], ids[ids.len() - 1]), ("grad_cam", "guided_backprop"), "{ids:?}");
    assert!(found.methods[0].score.mean < found.methods[ids.len() - 1].score.mean);
    assert_eq!(METHODS.map(|id| verdict(&found, id)), [Faithful, IgnoresModel, IgnoresModel, IgnoresModel]);
    assert_eq!(found.best().unwrap().id, "grad_cam");
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    // No better than edges: weak, with a note.
    let found = audit([0.3, 0.2, 0.6, 0.3], [0.2, 0.8, 1.0, 1.0], Verdict::Learned);
    assert_eq!(verdict(&found, "grad_cam"), Weak);
    assert_eq!(found.recommended.as_deref(), Some("grad_cam"));
    assert_eq!(found.notes.len(), 1);
    // A model at chance, or no method that depends on the model.
    assert_eq!(audit([0.3, 0.2, 0.6, 0.5], [0.2, 0.8, 1.0, 1.0], Verdict::Chance).recommended, None);
    assert_eq!(audit([0.3, 0.2, 0.6, 0.5], [0.9, 0.8, 1.0, 1.0], Verdict::Learned).recommended, None);
}

#[test]
fn scores_are_shares_of_the_others_beaten() {
    let found = audit([0.0, 0.5, 1.0, 1.5], [0.2; 4], Verdict::Learned);
    let score = |id: &str| found.methods.iter().find(|m| m.id == id).unwrap().score.mean;
    assert!(score("grad_cam") > 0.99 && score("edges") < 0.01);
    assert!((METHODS.iter().map(|id| score(id)).sum::<f64>() - 2.0).abs() < 1e-9);
}

#[test]
fn a_method_without_a_value_loses_and_equals_share() {
    let with = |v: f64| BTreeMap::from([("insertion".to_owned(), v)]);
    let measured =
        ImageMetrics { values: vec![with(0.5), with(0.5), BTreeMap::new()], ..ImageMetrics::default() };
    let record = ImageRecord { measured, ..ImageRecord::default() };
    let metric = crate::metric::find("insertion").unwrap();
    assert_eq!(beaten(metric, &record), [0.75, 0.75, 0.0]);
}

#[test]
fn a_metric_that_does_not_tell_the_methods_apart_counts_in_nothing() {
    // Deletion is the same for all on every image up to tiny systematic differences, as if a blank image had the
    // explained class; insertion separates the methods.
    let record = |item: usize| {
        let mut rng = Key::new(3, Use::Audit).at(item as u64).rng();
        let base = 0.6 + 0.01 * rng.normal();
        let values = [0.9, 0.3, 0.1, 0.2].iter().enumerate().map(|(m, insertion)| {
            let deletion = base + 1e-4 * m as f64;
            BTreeMap::from([
                ("deletion".to_owned(), deletion),
                ("insertion".to_owned(), insertion + 0.02 * rng.normal()),
            ])
        });
        let measured =
            ImageMetrics { values: values.collect(), agreement: vec![0.5; 16], ..ImageMetrics::default() };
        ImageRecord { item, measured, ..ImageRecord::default() }
    };
    let both: Vec<ImageRecord> = (0..20).map(record).collect();
    assert_eq!(uninformative_metrics(4, &both, 0), ["deletion"]);
    let deletion_alone: Vec<ImageRecord> = both
        .iter()
        .cloned()
        .map(|mut r| {
            r.measured.values.iter_mut().for_each(|v| v.retain(|id, _| id == "deletion"));
            r
        })
        .collect();
    let conclude = |records: &[ImageRecord]| {
        conclude(Measurements {
            model: ModelVerdict {
                judgement: Judgement { verdict: Verdict::Learned, ..Judgement::default() },
                ..ModelVerdict::default()
            },
            methods: &METHODS.map(|id| method::find(id).unwrap()),
            records,
            randomization: Some(&randomization([0.2, 0.8, 1.0, 1.0])),
            seed: 0,
            notes: Vec::new(),
        })
    };
    let found = conclude(&both);
    assert_eq!(
        (found.uninformative.as_slice(), found.recommended.as_deref()),
        (&["deletion".to_owned()][..], Some("grad_cam"))
    );
    // The best by insertion on every image beats all others: ties in deletion do not lower its score.
    assert_eq!(found.methods[0].score.mean, 1.0);
    assert!(
        found.notes.iter().any(|n| n.starts_with("Deletion cannot tell the methods apart")),
        "{:?}",
        found.notes
    );
    let found = conclude(&deletion_alone);
    assert_eq!((found.recommended, verdict_of(&found.methods, "grad_cam")), (None, MethodVerdict::Weak));
    assert!(found.notes.iter().any(|n| n.contains("no metric of faithfulness")), "{:?}", found.notes);
}

fn verdict_of(methods: &[MethodAudit], id: &str) -> MethodVerdict {
    methods.iter().find(|m| m.id == id).unwrap().verdict
}
