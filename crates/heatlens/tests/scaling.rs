//! The time to open, analyse, differentiate and compile a network is proportional to its number of nodes.
//!
//! The test compares ratios of times, the best of several runs each, with a generous limit: a step that visits
//! every node for every node takes 64 times as long for 8 times the nodes.

#![allow(clippy::unwrap_used)]

use std::time::Instant;

use heatlens::graph::op::unary::UnaryFunction;
use heatlens::graph::rewrite::simplify;
use heatlens::graph::{Builder, DefaultRules, Fact, Graph, Shape, ValueId, differentiate, onnx};
use heatlens::model::Model;
use heatlens_cpu::Program;

/// A step of a chain from one value to the next.
type Step = fn(&mut Builder<'_>, ValueId, ValueId) -> ValueId;

/// Returns an ONNX file with a chain of `steps` steps, the mean over positions and a dense layer. Every step also
/// receives the chain's first value, for shortcuts.
fn chain(steps: usize, step: Step) -> Vec<u8> {
    let mut graph = Graph::new("chain");
    let x = graph.add_input("x", Fact::f32(Shape::batched(&[3, 4, 4])));
    let mut b = Builder::new(&mut graph, "chain");
    let first = b.scale(x, 0.5).unwrap();
    let last = (0..steps).fold(first, |value, _| step(&mut b, value, first));
    let pooled = b.mean(last, &[2, 3], false).unwrap();
    let weights = b.constant(heatlens::graph::Tensor::f32(&[3, 2], vec![0.1; 6]));
    let y = b.matmul(pooled, weights).unwrap();
    graph.set_outputs(&[y]);
    onnx::write(&graph).unwrap()
}

/// Returns the seconds from the file to the layers, the model outline and the compiled gradient; the best of three.
fn seconds(file: &[u8]) -> f64 {
    let once = || {
        let start = Instant::now();
        let mut model = Model::from_graph(onnx::open(file.to_vec()).unwrap().graph).unwrap();
        let (layers, default) = (model.layers(), model.default_layer().unwrap());
        assert!(!model.outline(&layers, Some(&default)).is_empty());
        let ones = heatlens::graph::Tensor::f32(&[1, 2], vec![1.0, 0.0]);
        let seed = model.graph.add_constant("seed", ones);
        let (logits, image) = (model.head.logits, model.image);
        let gradient = differentiate(&mut model.graph, "g", logits, seed, &[image], &DefaultRules).unwrap();
        let simple = simplify(&model.graph, &gradient).unwrap().graph;
        let program = Program::compile(&simple).unwrap();
        assert_eq!(program.run(&[&[0.5; 48]], 1).unwrap()[0].len(), 48);
        start.elapsed().as_secs_f64()
    };
    (0..3).map(|_| once()).fold(f64::INFINITY, f64::min)
}

#[test]
fn time_grows_with_the_nodes() {
    let steps: [(&str, Step); 3] = [
        ("a chain of sigmoids", |b, value, _| b.unary(UnaryFunction::Sigmoid, value).unwrap()),
        ("a chain of rectifiers", |b, value, _| b.relu(value).unwrap()),
        ("shortcuts from one value", |b, value, first| b.add(value, first).unwrap()),
    ];
    for (name, step) in steps {
        let [short, long] = [1_000, 8_000].map(|nodes| seconds(&chain(nodes, step)));
        assert!(long < 24.0 * short, "{name}: {short:.3} s for 1,000 nodes, {long:.3} s for 8,000");
    }
}
