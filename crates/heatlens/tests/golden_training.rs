//! Training agrees with PyTorch in double precision, step by step: the loss before each update and the weights
//! after the last. The files come from `tools/golden/make_training.py`.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

mod common;

use common::{Tol, assert_close, description, golden, npy};
use heatlens::model::Model;
use heatlens::train::optimizer::{Algorithm, Optimizer, Update};
use heatlens::train::step::{Arrays, TrainingStep, parameters};

fn check(case: &str) {
    let folder = golden(case);
    let about = description(&folder);
    let number = |key: &str| about[key].as_u64().unwrap() as usize;
    let (samples, batch, epochs) = (number("samples"), number("batch_size"), number("epochs"));
    let optimizer = &about["optimizer"];
    let float = |key: &str| optimizer[key].as_f64().unwrap() as f32;
    let betas = [float("beta1"), float("beta2")];
    let mut adam = Optimizer::new(Algorithm::Adam { betas, epsilon: float("epsilon") }).unwrap();

    let model = Model::open(&folder.join("model.onnx")).unwrap();
    let parameters = parameters(&model.graph);
    let step = TrainingStep::new(&model.graph, model.head.logits, &parameters).unwrap();
    // The file has the exporter's names, the golden arrays those of the PyTorch model. Both are in the same order.
    let names: Vec<String> = about["parameters"].as_object().unwrap().keys().cloned().collect();
    let found: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(found.len(), names.len(), "{found:?}");
    let stored = |value| model.graph.constant(value).unwrap().as_f32().unwrap().to_vec();
    let mut arrays: Arrays = parameters.iter().map(|p| (p.name.clone(), stored(p.value))).collect();

    let (_, images) = npy(&folder.join("input.npy"));
    let (_, labels) = npy(&folder.join("labels.npy"));
    let len = images.len() / samples;
    let mut losses = Vec::new();
    for _ in 0..epochs {
        for start in (0..samples).step_by(batch) {
            let part = start..start + batch;
            let images = &images[part.start * len..part.end * len];
            let weights = vec![1.0 / batch as f32; batch];
            let output = step.run(images, &labels[part], &weights, &arrays, batch).unwrap();
            losses.push(output.loss);
            let mut values: Vec<Vec<f32>> = parameters.iter().map(|p| arrays[&p.name].clone()).collect();
            let mut updates: Vec<Update<'_>> = parameters
                .iter()
                .zip(values.iter_mut().zip(&output.gradients))
                .map(|(p, (values, gradient))| Update { name: &p.name, values, gradient, decays: p.decays })
                .collect();
            adam.step(float("learning_rate"), &mut updates).unwrap();
            arrays.extend(parameters.iter().map(|p| p.name.clone()).zip(values));
        }
    }
    let (_, expected) = npy(&folder.join("expected_losses_torch.npy"));
    assert_close(&format!("{case}: losses"), &losses, &expected, Tol::F32);
    for parameter in &parameters {
        let (name, expected) =
            golden_array(&folder, &names, parameter.name.as_str(), &stored(parameter.value));
        assert_close(&format!("{case}: {name}"), &arrays[&parameter.name], &expected, Tol::FRAMEWORK);
    }
}

/// Returns the golden array with these initial values: names differ between the file and the PyTorch model.
fn golden_array(
    folder: &std::path::Path,
    names: &[String],
    wanted: &str,
    initial: &[f32],
) -> (String, Vec<f32>) {
    let same = |name: &&String| npy(&folder.join(format!("initial_{name}.npy"))).1 == initial;
    let name = names.iter().find(|name| wanted.ends_with(name.as_str())).or_else(|| names.iter().find(same));
    let name = name.unwrap_or_else(|| panic!("{wanted} is none of {names:?}"));
    (name.clone(), npy(&folder.join(format!("expected_{name}_torch.npy"))).1)
}

#[test]
fn plain_network() {
    check("training_gap_cnn");
}

#[test]
fn with_batch_normalisation() {
    check("training_gap_cnn_bn");
}
