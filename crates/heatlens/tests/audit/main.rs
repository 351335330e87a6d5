//! The audit distinguishes models that learned from those that did not, and methods that depend on the model from
//! those that show edges. Fixed seeds, several data sets each.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // tests may panic and print

#[path = "../common/mod.rs"]
mod common;
mod golden;
mod networks;
mod randomization;

use heatlens::demo_data::DemoImage;
use heatlens::method::{MethodSettings, default_audit_methods};
use heatlens::metric::chance_share;
use heatlens::model::Model;
use heatlens::random::{Key, Use};
use heatlens::trust::audit::{
    Audit, AuditSettings, Auditor, ImageRecord, Judged, Measurements, ModelVerdict, Purpose, conclude, judge,
};
use heatlens::trust::model_randomization::RandomizationTest;
use heatlens::trust::significance::Verdict;
use networks::trained;

/// Images not used for training.
fn unseen(seed: u64, count: usize) -> Vec<DemoImage> {
    (5000..5000 + count).map(|index| DemoImage::draw(seed, index)).collect()
}

fn pixels(images: &[DemoImage]) -> Vec<f32> {
    images.iter().flat_map(DemoImage::to_f32).collect()
}

fn verdict(model: &Model, images: &[DemoImage], labels: &[usize]) -> ModelVerdict {
    let auditor = auditor(model);
    let logits = auditor.logits(&pixels(images), images.len()).unwrap();
    let labels: Vec<Option<usize>> = labels.iter().copied().map(Some).collect();
    judge(Judged {
        model,
        logits: &logits,
        labels: &labels,
        purpose: Purpose::Given,
        selected_among: 1,
        seed: 0,
    })
}

fn auditor(model: &Model) -> Auditor {
    let mut settings = AuditSettings::quick(&default_audit_methods(), MethodSettings::default());
    // Half the work, so that the tests finish in time.
    settings.plan.road = vec![0.3, 0.7];
    settings.plan.steps = 8;
    settings.randomization.images_by_part = 1;
    Auditor::new(model, settings).unwrap()
}

fn records(auditor: &Auditor, images: &[DemoImage]) -> Vec<ImageRecord> {
    let measured = |(item, image): (usize, &DemoImage)| {
        let mask = Some(image.mask.as_slice()).filter(|_| image.label == 1);
        let measured = auditor.measure(item, &image.to_f32(), mask, &|_, _| true).unwrap();
        ImageRecord {
            item,
            source: item.to_string(),
            label: Some(image.label),
            pixels: String::new(),
            measured,
        }
    };
    images.iter().enumerate().map(measured).collect()
}

fn audit(model: &Model, images: &[DemoImage], randomization: Option<&RandomizationTest>) -> Audit {
    let auditor = auditor(model);
    let records = records(&auditor, images);
    let labels: Vec<usize> = images.iter().map(|i| i.label).collect();
    let (methods, model) = (auditor.methods(), verdict(model, images, &labels));
    conclude(Measurements {
        model,
        methods: &methods,
        records: &records,
        randomization,
        seed: 0,
        notes: Vec::new(),
    })
}

/// Data sets with a planted object: the recommended method must find it.
fn planted(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let model = trained("gap-cnn-bn", seed, 1200, 5, false);
        let images = unseen(seed, 14);
        let auditor = auditor(&model);
        let randomization = auditor.test_randomization(&pixels(&images), images.len(), &|_| true).unwrap();
        let found = audit(&model, &images, Some(&randomization));
        let judgement = &found.model.judgement;
        assert_eq!(judgement.verdict, Verdict::Learned, "seed {seed}: {judgement}");
        let best = found.best().unwrap_or_else(|| panic!("seed {seed}: nothing is recommended"));
        let share = best.metrics["energy_pointing"].mean;
        let with: Vec<&DemoImage> = images.iter().filter(|i| i.label == 1).collect();
        let chance = with.iter().map(|i| chance_share(&i.mask)).sum::<f64>() / with.len() as f64;
        println!("seed {seed}: {} with {:.1} times chance", best.id, share / chance);
        for m in &found.methods {
            let r = m.randomisation.as_ref().unwrap();
            println!("  {:20} {:.2} kept {:.2} {}", m.id, m.score.mean, r.share_kept(), m.verdict.id());
        }
        assert!(share >= 3.0 * chance, "seed {seed}: {} has {:.2} times chance", best.id, share / chance);
        assert!(!best.control && best.verdict.id() != "ignores-model");
        for control in found.methods.iter().filter(|m| m.control) {
            assert_eq!(control.verdict.id(), "ignores-model", "seed {seed}: {}", control.id);
        }
    }
}

#[test]
fn what_is_recommended_for_planted_data_localises() {
    planted(0..1);
}

/// Enough runs for a table: docs/trust.md.
#[test]
#[ignore = "minutes; run with --release -- --ignored --nocapture"]
fn what_is_recommended_for_many_planted_data_sets_localises() {
    planted(10..20);
}

#[test]
fn a_model_trained_on_shuffled_labels_has_nothing_to_show() {
    shuffled(0..2);
}

/// Enough runs for a table: docs/trust.md.
#[test]
#[ignore = "minutes; run with --release -- --ignored --nocapture"]
fn many_models_trained_on_shuffled_labels_have_nothing_to_show() {
    shuffled(10..40);
}

/// Data sets with random labels: their models must not be called models that learned.
fn shuffled(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let model = trained("gap-cnn-bn", seed, 300, 2, true);
        let images = unseen(seed, 100);
        // All labels of the data set are shuffled, including those of the evaluation.
        let mut labels: Vec<usize> = images.iter().map(|i| i.label).collect();
        Key::new(seed, Use::Shuffle).at(78).rng().shuffle(&mut labels);
        let judged = verdict(&model, &images, &labels);
        println!("seed {seed}: p = {:.3}", judged.p_value().unwrap());
        assert_eq!(judged.judgement.verdict, Verdict::Chance, "seed {seed}: {}", judged.judgement);
        assert!(judged.p_value().unwrap() > 0.01);
        let findings = Measurements {
            model: judged,
            methods: &[],
            records: &[],
            randomization: None,
            seed: 0,
            notes: Vec::new(),
        };
        assert_eq!(conclude(findings).recommended, None);
    }
}

/// The same bits for any number of threads.
#[test]
fn an_audit_depends_on_its_seed_and_nothing_else() {
    let model = networks::fresh("gap-cnn-bn", 1);
    let images = unseen(0, 2);
    let auditor = auditor(&model);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let test_randomization = auditor.test_randomization(&pixels(&images), 2, &|_| true).unwrap();
            (records(&auditor, &images), test_randomization)
        })
    };
    let (one, two) = (run(1), run(2));
    for (a, b) in one.0.iter().zip(&two.0) {
        assert_eq!(a.to_json(), b.to_json());
        assert_eq!(
            ImageRecord::of_json(&serde_json::from_str(&a.to_json().to_string()).unwrap()).unwrap().to_json(),
            a.to_json()
        );
    }
    assert_eq!(one.1, two.1);
    assert_eq!(RandomizationTest::from_json(&one.1.to_json()), Some(one.1));
    assert_eq!(one.0[0].measured.values.len(), 12);
}
