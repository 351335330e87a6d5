//! Networks for the audit: trained on the demo images, untrained, or deep.

use std::sync::Arc;

use heatlens::data::Preprocessing;
use heatlens::demo::class_names;
use heatlens::demo_data::{DemoImage, SIDE, generate};
use heatlens::graph::op::batch_normalization::BatchNormalization;
use heatlens::graph::op::conv::Conv;
use heatlens::graph::op::gemm::Gemm;
use heatlens::graph::op::global_pool::{GlobalPool, GlobalPoolFunction};
use heatlens::graph::op::pool::MaxPool;
use heatlens::graph::op::reshape::Flatten;
use heatlens::graph::op::unary::{Unary, UnaryFunction};
use heatlens::graph::op::window::Window;
use heatlens::graph::{Fact, Graph, Operator, Shape, Tensor, ValueId};
use heatlens::model::Model;
use heatlens::random::{Key, Use};
use heatlens::train::TrainingSet;
use heatlens::train::arch;
use heatlens::train::fit::{Trainer, TrainingSettings};

/// Trains a network on the first demo images, with their own or shuffled labels.
pub(crate) fn trained(id: &str, seed: u64, count: usize, epochs: usize, shuffled: bool) -> Model {
    let images = generate(count, seed);
    let mut labels: Vec<usize> = images.iter().map(|i| i.label).collect();
    if shuffled {
        Key::new(seed, Use::Shuffle).at(77).rng().shuffle(&mut labels);
    }
    let set = TrainingSet {
        images: images.iter().flat_map(DemoImage::to_f32).collect(),
        labels,
        class_names: class_names(),
        preprocessing: Preprocessing::new([1, SIDE, SIDE]),
        train: (0..count).collect(),
        validation: Vec::new(),
        broken: Vec::new(),
    };
    let settings = TrainingSettings {
        architecture: arch::find(id).unwrap(),
        epochs: epochs.try_into().unwrap(),
        keep_best: false,
        ..heatlens::demo::settings(seed).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(settings, &set, folder.path()).unwrap();
    trainer.run(&mut ()).unwrap();
    trainer.model().unwrap()
}

/// Returns an untrained network for the demo images.
pub(crate) fn fresh(id: &str, seed: u64) -> Model {
    Model::from_graph(arch::find(id).unwrap().build([1, SIDE, SIDE], 2, seed).unwrap()).unwrap()
}

/// Returns an untrained network of `depth` 3×3 convolutions with 24 channels and ReLU, downsampled by 2 twice.
pub(crate) fn deep(depth: usize, normalised: bool, seed: u64) -> Model {
    const CHANNELS: usize = 24;
    let mut graph = Graph::new("deep");
    let image = graph.add_input("image", Fact::f32(Shape::batched(&[1, SIDE, SIDE])));
    let (mut x, mut channels) = (image, 1);
    for layer in 0..depth {
        let mut rng = Key::new(seed, Use::Weights).at(layer as u64).rng();
        let size = (2.0 / (channels * 9) as f64).sqrt();
        let kernel = (0..CHANNELS * channels * 9).map(|_| (size * rng.normal()) as f32).collect();
        let kernel = graph.add_constant("kernel", Tensor::f32(&[CHANNELS, channels, 3, 3], kernel));
        x = node(&mut graph, Conv { window: Window::new(&[3, 3]).pads(&[1, 1]), group: 1 }, &[x, kernel]);
        if normalised {
            let mut filled =
                |v: f32| graph.add_constant("filled", Tensor::f32(&[CHANNELS], vec![v; CHANNELS]));
            let operands = [x, filled(1.0), filled(0.0), filled(0.0), filled(1.0)];
            x = node(&mut graph, BatchNormalization { epsilon: 1e-3 }, &operands);
        }
        x = node(&mut graph, Unary(UnaryFunction::Relu), &[x]);
        if layer + 1 == depth / 2 || layer + 1 == depth {
            let window = Window::new(&[2, 2]).strides(&[2, 2]);
            x = node(&mut graph, MaxPool { window, ceil_mode: false }, &[x]);
        }
        channels = CHANNELS;
    }
    let pooled = node(&mut graph, GlobalPool(GlobalPoolFunction::Average), &[x]);
    let flat = node(&mut graph, Flatten { axis: 1 }, &[pooled]);
    let mut rng = Key::new(seed, Use::Weights).at(99).rng();
    let dense = (0..2 * CHANNELS).map(|_| rng.normal() as f32 / 5.0).collect();
    let dense = graph.add_constant("dense", Tensor::f32(&[2, CHANNELS], dense));
    let bias = graph.add_constant("bias", Tensor::f32(&[2], vec![0.0; 2]));
    let logits = node(&mut graph, Gemm { trans_b: true, ..Gemm::default() }, &[flat, dense, bias]);
    graph.set_outputs(&[logits]);
    Model::from_graph(graph).unwrap()
}

fn node(graph: &mut Graph, op: impl Operator, inputs: &[ValueId]) -> ValueId {
    let inputs: Vec<_> = inputs.iter().map(|&i| Some(i)).collect();
    let id = graph.add_node("node", Arc::new(op), &inputs).unwrap();
    graph.node(id).outputs[0]
}
