//! Tests of the model parameter randomization test: which methods ignore the weights?

use std::sync::atomic::{AtomicUsize, Ordering};

use heatlens::demo_data::{DemoImage, SIDE};
use heatlens::explain::ExplainError;
use heatlens::method::{Method, MethodError, MethodSettings, find};
use heatlens::model::Model;
use heatlens::random::{Key, Use};
use heatlens::trust::audit::{AuditSettings, Auditor};
use heatlens::trust::model_randomization::{RandomizationPlan, RandomizationTest};

use crate::networks::{deep, fresh, trained};
use crate::{pixels, unseen};

/// A plan small enough for tests.
const FEW: RandomizationPlan = RandomizationPlan { seeds: 5, images: 8, images_by_part: 1 };

fn randomization(
    model: &Model,
    seed: u64,
    methods: &[&str],
    images: &[f32],
    plan: RandomizationPlan,
) -> RandomizationTest {
    let methods: Vec<_> = methods.iter().map(|id| find(id).unwrap()).collect();
    let mut settings = AuditSettings::quick(&methods, MethodSettings::with_seed(seed));
    settings.randomization = plan;
    let auditor = Auditor::new(model, settings).unwrap();
    auditor.test_randomization(images, images.len() / (SIDE * SIDE), &|_| true).unwrap()
}

/// Asserts that work on an image ends before anything is finished if it is told to stop between the passes. `work` gets a
/// function that takes a number of finished passes or images and returns false to stop.
fn assert_stops<T>(
    work: impl Fn(&Auditor, &[f32], &(dyn Fn(usize) -> bool + Sync)) -> Result<T, ExplainError>,
) {
    let (model, image) = (fresh("gap-cnn", 0), pixels(&unseen(0, 1)));
    let auditor = Auditor::new(&model, AuditSettings::quick(&[Method::RISE], MethodSettings::with_seed(0)));
    let finished = AtomicUsize::new(0);
    let go_on = |passes| finished.fetch_add(passes, Ordering::Relaxed) + passes > 0;
    let ended = work(&auditor.unwrap(), &image, &go_on);
    assert!(matches!(ended, Err(ExplainError::Method(MethodError::Stopped))));
    assert_eq!(finished.into_inner(), 0);
}

#[test]
fn a_measurement_stops_within_an_image() {
    assert_stops(|auditor, image, go_on| auditor.measure(0, image, None, &|_, passes| go_on(passes)));
    assert_stops(|auditor, image, go_on| auditor.try_out(image, &|| !go_on(0)));
}

#[test]
fn a_randomization_test_stops_within_an_image() {
    assert_stops(|auditor, image, go_on| auditor.test_randomization(image, 1, go_on));
}

/// Images without an empty background: soft blobs of all sizes.
fn textures(seed: u64, count: usize) -> Vec<f32> {
    let texture = |index: usize| {
        let mut rng = Key::new(seed, Use::DemoData).at(index as u64).at(1).rng();
        let mut grey = vec![0.5; SIDE * SIDE];
        for size in (0..60).map(|k| 1.5 * 1.06_f64.powi(k % 40)) {
            let strength = 0.12 * rng.normal();
            let mut between = |low, high| rng.between(low, high);
            let centre = [between(0.0, SIDE as f64), between(0.0, SIDE as f64)];
            let size = [size * between(0.5, 1.5), size * between(0.5, 1.5)];
            for (i, grey) in grey.iter_mut().enumerate() {
                let at = [(i / SIDE) as f64, (i % SIDE) as f64];
                let far: f64 = (0..2).map(|d| ((at[d] - centre[d]) / size[d]).powi(2) / 2.0).sum();
                *grey += strength * (-far).exp();
            }
        }
        let noisy = |grey: &f64| (grey + 0.02 * rng.normal()).clamp(0.0, 1.0) as f32;
        grey.iter().map(noisy).collect::<Vec<f32>>()
    };
    (0..count).flat_map(texture).collect()
}

/// Methods missed and methods wrongly flagged.
#[derive(Default)]
struct Errors {
    missed: Vec<String>,
    wrong: Vec<String>,
    networks: usize,
}

impl Errors {
    fn count(&mut self, what: &str, model: &Model, seed: u64, images: &[f32], plan: RandomizationPlan) {
        let found = randomization(model, seed, &["grad_cam", "gradient", "guided_backprop"], images, plan);
        let show = |(id, r): &(String, heatlens::trust::audit::MethodRandomization)| {
            let lead = r.kept.iter().map(|k| k.lead.low).fold(f64::NEG_INFINITY, f64::max);
            format!("{id} {:.2} ({lead:+.3})", r.share_kept())
        };
        let shown: Vec<String> = found.methods.iter().map(show).collect();
        println!("{what}: floor {:.2}; {}", found.floor, shown.join(", "));
        assert!((found.edges - 1.0).abs() < 1e-6, "{what}");
        for id in ["guided_backprop", "random", "edges", "centre"] {
            if !found.of(id).unwrap().ignores_model() {
                self.missed.push(format!("{what}: {id}"));
            }
        }
        for id in ["grad_cam", "gradient"] {
            if found.of(id).unwrap().ignores_model() {
                self.wrong.push(format!("{what}: {id}"));
            }
        }
        self.networks += 1;
    }

    /// Fails if more than `errors` methods were missed or wrongly flagged in total.
    #[track_caller]
    fn at_most(&self, errors: usize) {
        let Self { missed, wrong, networks } = self;
        let found = format!("{networks} networks: missed {missed:?}, wrongly called out {wrong:?}");
        println!("{found}");
        assert!(missed.len() + wrong.len() <= errors, "{found}");
    }
}

/// Networks of several depths, with and without normalization.
#[test]
fn guided_back_propagation_is_called_out_and_grad_cam_is_not() {
    let (mut errors, images) = (Errors::default(), pixels(&unseen(0, FEW.images)));
    for (depth, bn) in [(2, false), (4, false), (6, true), (6, false)] {
        errors.count(&format!("depth {depth}, normalised {bn}"), &deep(depth, bn, 0), 0, &images, FEW);
    }
    errors.count("gap-cnn", &fresh("gap-cnn", 0), 0, &images, FEW);
    errors.at_most(0);
}

/// Enough runs for a table: docs/trust.md.
#[test]
#[ignore = "minutes; run with --release -- --ignored --nocapture"]
fn many_networks_are_told_apart() {
    let plan = RandomizationPlan { images_by_part: 1, ..RandomizationPlan::quick() };
    let mut errors = Errors::default();
    for seed in 10..14 {
        let demo = pixels(&unseen(seed, plan.images));
        for (images, of) in [(demo, "demo"), (textures(seed, plan.images), "textures")] {
            for (depth, bn) in
                [(2, false), (2, true), (4, false), (4, true), (6, false), (6, true), (10, true)]
            {
                let what = format!("{of}, depth {depth}, normalised {bn}, seed {seed}");
                errors.count(&what, &deep(depth, bn, seed), seed, &images, plan);
            }
            for id in ["gap-cnn", "gap-cnn-bn"] {
                errors.count(&format!("{of}, {id}, seed {seed}"), &fresh(id, seed), seed, &images, plan);
            }
        }
        let images: Vec<DemoImage> = unseen(seed, plan.images);
        for (id, epochs) in [("gap-cnn", 40), ("gap-cnn-bn", 5)] {
            let model = trained(id, seed, 1000, epochs, false);
            errors.count(&format!("{id}, trained, seed {seed}"), &model, seed, &pixels(&images), plan);
        }
    }
    // One is known: Grad-CAM on one untrained gap-cnn.
    errors.at_most(1);
}

#[test]
fn the_cascade_ends_where_all_layers_are_random() {
    let images = pixels(&unseen(0, FEW.images));
    let found = randomization(&fresh("gap-cnn-bn", 0), 0, &["grad_cam"], &images, FEW);
    let grad_cam = found.of("grad_cam").unwrap();
    let shares: Vec<f64> = grad_cam.cascade.iter().map(|(share, _)| *share).collect();
    assert_eq!(shares, [0.25, 0.5, 0.75, 1.0]);
    assert_eq!(grad_cam.cascade[3].1, grad_cam.similarity.mean);
    let parts: Vec<(f64, f64)> = grad_cam.independent.iter().map(|(from, to, _)| (*from, *to)).collect();
    assert_eq!(parts, [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)]);
}
