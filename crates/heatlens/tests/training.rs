//! Properties of training beyond the agreement with other frameworks.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

mod common;

use heatlens::model::Model;
use heatlens::train::arch::{ARCHITECTURES, find};
use heatlens::train::evaluate::Evaluation;
use heatlens::train::population::PopulationStatistics;
use heatlens::train::step::{Arrays, TrainingStep, parameters};

fn images(n: usize, len: usize) -> Vec<f32> {
    (0..n * len).map(|i| ((i * 7919 + 13) % 251) as f32 / 251.0).collect()
}

/// With statistics computed over the training set, a batch of the whole set has the same loss in training and in
/// evaluation.
#[test]
fn training_and_evaluation_agree_once_statistics_are_exact() {
    let (shape, n) = ([1, 20, 18], 24);
    let network = find("gap-cnn-bn").unwrap().build(shape, 2, 3).unwrap();
    let logits = Model::from_graph(network.clone()).unwrap().head.logits;
    let trained = parameters(&network);
    let mut free: Vec<String> = trained.iter().map(|p| p.name.clone()).collect();
    free.extend(PopulationStatistics::names(&network));
    let stored =
        |name: &String| network.constant(network.find(name).unwrap()).unwrap().as_f32().unwrap().to_vec();
    let mut arrays: Arrays = free.iter().map(|name| (name.clone(), stored(name))).collect();
    let images = images(n, shape.iter().product());
    let targets: Vec<f32> = (0..n).map(|i| (i % 2) as f32).collect();
    let weights = vec![1.0 / n as f32; n];
    let step = TrainingStep::new(&network, logits, &trained).unwrap();
    let train = step.run(&images, &targets, &weights, &arrays, n).unwrap();

    let scores = Evaluation::new(&network, &free, &[logits]).unwrap();
    let before = scores.run(&images, &arrays, n).unwrap().remove(0);
    let population = PopulationStatistics::new(&network, &free).unwrap();
    let len = images.len() / n;
    // Twice, in uneven batches: the second time starts at the correct centre and must not change anything.
    for _ in 0..2 {
        population
            .update(&mut arrays, &mut |visit| {
                images.chunks(7 * len).try_for_each(|b| visit(b, b.len() / len))
            })
            .unwrap();
        let after = scores.run(&images, &arrays, n).unwrap().remove(0);
        common::assert_close("logits", &after, &train.logits, common::Tol::FRAMEWORK);
    }
    let far = before.iter().zip(&train.logits).any(|(a, b)| (a - b).abs() > 0.01);
    assert!(far, "fresh statistics already agree, so this test would prove nothing");
}

/// The gradient of a step is that of its loss: a small step along it lowers the loss by the predicted amount.
#[test]
fn the_gradient_is_that_of_the_loss() {
    for (architecture, classes) in ARCHITECTURES.iter().flat_map(|a| [(a, 2), (a, 3)]) {
        let (shape, n) = ([3, 18, 20], 6);
        let network = architecture.build(shape, classes, 1).unwrap();
        let logits = Model::from_graph(network.clone()).unwrap().head.logits;
        let trained = parameters(&network);
        let step = TrainingStep::new(&network, logits, &trained).unwrap();
        let stored = |p: &heatlens::train::step::TrainableParameter| {
            network.constant(p.value).unwrap().as_f32().unwrap().to_vec()
        };
        let mut arrays: Arrays = trained.iter().map(|p| (p.name.clone(), stored(p))).collect();
        let images = images(n, shape.iter().product());
        let k = if classes == 2 { 1 } else { classes };
        let targets: Vec<f32> =
            (0..n).flat_map(|i| (0..k).map(move |c| if i % classes == c { 1.0 } else { 0.0 })).collect();
        let weights = vec![1.0 / n as f32; n];
        let start = step.run(&images, &targets, &weights, &arrays, n).unwrap();
        let mut slope = 0.0f64;
        for (p, gradient) in trained.iter().zip(&start.gradients) {
            let rate = 1e-3;
            for (v, g) in arrays.get_mut(&p.name).unwrap().iter_mut().zip(gradient) {
                *v -= rate * g;
                slope += f64::from(rate) * f64::from(*g) * f64::from(*g);
            }
        }
        let end = step.run(&images, &targets, &weights, &arrays, n).unwrap();
        let fall = f64::from(start.loss) - f64::from(end.loss);
        assert!(
            (fall / slope - 1.0).abs() < 0.2,
            "{} with {classes} classes: {fall} against {slope}",
            architecture.id
        );
    }
}

/// Kernels decay, biases and normalizations do not; stored statistics are not parameters.
#[test]
fn what_is_trained_and_what_decays() {
    let network = find("gap-cnn-bn").unwrap().build([1, 20, 18], 2, 0).unwrap();
    let found: Vec<(String, bool)> = parameters(&network).into_iter().map(|p| (p.name, p.decays)).collect();
    let decaying: Vec<&str> =
        found.iter().filter(|(_, decays)| *decays).map(|(name, _)| name.as_str()).collect();
    assert_eq!(decaying, ["conv2d_1.weight", "conv2d_2.weight", "conv2d_3.weight", "dense.weight"]);
    let rest = found.len() - decaying.len();
    assert_eq!(rest, 2 * 3 + 1, "scale and bias of three normalisations, and the dense bias: {found:?}");
}
