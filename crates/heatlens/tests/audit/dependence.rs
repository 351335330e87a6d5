//! Which methods draw much the same for a network with other weights.

use heatlens::method::{Settings, find};
use heatlens::model::Model;
use heatlens::trust::audit::{Auditor, Settings as AuditSettings};
use heatlens::trust::dependence::Dependence;

use crate::networks::{deep, fresh};
use crate::{pixels, unseen};

fn dependence(model: &Model, seed: u64, methods: &[&str]) -> Dependence {
    let methods: Vec<_> = methods.iter().map(|id| find(id).unwrap()).collect();
    let mut settings = AuditSettings::quick(&methods, Settings::with_seed(seed));
    settings.dependence.images = 8;
    settings.dependence.images_by_part = 1;
    let auditor = Auditor::new(model, settings).unwrap();
    let images = unseen(seed, 8);
    auditor.depend(&pixels(&images), images.len(), &|_| true).unwrap().unwrap()
}

/// Networks of several depths, with and without normalisation: 3 seeds each.
fn networks() -> Vec<(String, Model, u64)> {
    let kinds = [(4, false), (6, true), (6, false)];
    let of = |seed: u64| {
        kinds.map(|(depth, bn)| {
            (format!("depth {depth}, normalised {bn}, seed {seed}"), deep(depth, bn, seed), seed)
        })
    };
    (0..3).flat_map(of).collect()
}

#[test]
fn guided_back_propagation_is_called_out_and_grad_cam_is_not() {
    let (mut missed, mut wrong) = (Vec::new(), Vec::new());
    for (what, model, seed) in networks() {
        let found = dependence(&model, seed, &["grad_cam", "gradient", "guided_backprop"]);
        let shown: Vec<String> = found
            .methods
            .iter()
            .map(|(id, r)| format!("{id} {:.2} {:.2}", r.similarity.mean, r.floor))
            .collect();
        println!("{what}: floor {:.2}; {}", found.floor, shown.join(", "));
        assert!((found.edges - 1.0).abs() < 1e-6 && found.floor < 0.2, "{what}");
        for id in ["guided_backprop", "random", "edges", "centre"] {
            if !found.ignores_model(found.of(id).unwrap()) {
                missed.push(format!("{what}: {id}"));
            }
        }
        for id in ["grad_cam", "gradient"] {
            if found.ignores_model(found.of(id).unwrap()) {
                wrong.push(format!("{what}: {id}"));
            }
        }
    }
    assert!(missed.is_empty() && wrong.is_empty(), "missed {missed:?}, wrongly called out {wrong:?}");
}

#[test]
fn the_cascade_ends_where_all_layers_are_random() {
    let found = dependence(&fresh("gap-cnn-bn", 0), 0, &["grad_cam"]);
    let grad_cam = found.of("grad_cam").unwrap();
    let shares: Vec<f64> = grad_cam.cascade.iter().map(|(share, _)| *share).collect();
    assert_eq!(shares, [0.25, 0.5, 0.75, 1.0]);
    assert_eq!(grad_cam.cascade[3].1, grad_cam.similarity.mean);
    let parts: Vec<(f64, f64)> = grad_cam.independent.iter().map(|(from, to, _)| (*from, *to)).collect();
    assert_eq!(parts, [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)]);
}
