//! Tests that rewrites preserve the results of a graph.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

use heatlens_graph::op::batch_normalization::BatchNormalization;
use heatlens_graph::rewrite::batch_statistics::with_batch_statistics;
use heatlens_graph::rewrite::simplify;
use heatlens_graph::{Builder, DefaultRules, Fact, Graph, Shape, Tensor, ValueId, differentiate, reference};

fn numbers(shape: &[usize]) -> Tensor {
    let len: usize = shape.iter().product();
    Tensor::f64(shape, (0..len).map(|i| ((i * 37 + 11) % 23) as f64 / 7.0 - 1.5).collect())
}

#[test]
fn equal_work_is_done_once_and_constants_are_computed() {
    let mut graph = Graph::new("twice");
    let x = graph.add_input("x", Fact::f32(Shape::batched(&[3])));
    let mut b = Builder::new(&mut graph, "f");
    let branch = |b: &mut Builder<'_>| {
        let (two, three) = (b.scalar(2.0), b.scalar(3.0));
        let six = b.mul(two, three).unwrap();
        b.mul(x, six).unwrap()
    };
    let (left, right) = (branch(&mut b), branch(&mut b));
    let y = b.add(left, right).unwrap();
    let unused = b.neg(y).unwrap();
    assert_eq!(graph.nodes().len(), 6);
    let simple = simplify(&graph, &[y]).unwrap();
    assert_eq!(simple.graph.nodes().len(), 2, "one product, one sum");
    assert_eq!(simple.map[unused.index()], None);
    let run =
        |g: &Graph, y: ValueId| reference::run(g, &[numbers(&[2, 3])], 2, &[y]).unwrap().remove(0).to_f64();
    assert_eq!(run(&graph, y), run(&simple.graph, simple.graph.outputs()[0]));
}

#[test]
fn different_attributes_are_not_merged() {
    let mut graph = Graph::new("sums");
    let x = graph.add_input("x", Fact::f32(Shape::batched(&[3, 3])));
    let mut b = Builder::new(&mut graph, "f");
    let (rows, columns) = (b.sum(x, &[1], false).unwrap(), b.sum(x, &[2], false).unwrap());
    let simple = simplify(&graph, &[rows, columns]).unwrap().graph;
    assert_eq!(simple.nodes().len(), 2);
    assert_ne!(simple.outputs()[0], simple.outputs()[1]);
}

/// A normalisation of N×2×3 whose stored statistics are not used.
fn normalising() -> (Graph, ValueId, ValueId) {
    let mut graph = Graph::new("norm");
    let x = graph.add_input("x", Fact::f32(Shape::batched(&[2, 3])));
    let stored: Vec<ValueId> =
        [("scale", [2.0, 0.5]), ("bias", [1.0, -1.0]), ("mean", [9.0, 9.0]), ("variance", [9.0, 9.0])]
            .into_iter()
            .map(|(name, v)| graph.add_constant(name, Tensor::f32(&[2], v.to_vec())))
            .collect();
    let inputs = [x, stored[0], stored[1], stored[2], stored[3]];
    let y = Builder::new(&mut graph, "bn").apply(BatchNormalization { epsilon: 1e-3 }, &inputs).unwrap();
    graph.set_outputs(&[y]);
    (graph, x, y)
}

#[test]
fn training_normalises_by_the_batch() {
    let (graph, _, y) = normalising();
    let training = with_batch_statistics(&graph).unwrap();
    let x = numbers(&[4, 2, 3]);
    let feeds = [x.clone(), Tensor::f64(&[], vec![0.25])];
    let statistics = &training.statistics[0];
    let wanted = [training.map[y.index()], statistics.mean, statistics.variance];
    let found = reference::run(&training.graph, &feeds, 4, &wanted).unwrap();
    let x = x.to_f64();
    for c in 0..2 {
        let own: Vec<f64> = (0..24).filter(|i| i / 3 % 2 == c).map(|i| x[i]).collect();
        let mean = own.iter().sum::<f64>() / 12.0;
        let variance = own.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 12.0;
        assert!((found[1].to_f64()[c] - mean).abs() < 1e-7);
        assert!((found[2].to_f64()[c] - variance).abs() < 1e-7, "the variance is the biased one");
        let normal: Vec<f64> = (0..24).filter(|i| i / 3 % 2 == c).map(|i| found[0].to_f64()[i]).collect();
        let (scale, bias) = ([2.0, 0.5][c], [1.0, -1.0][c]);
        for (n, v) in normal.iter().zip(&own) {
            let expected = (v - mean) / (variance + 1e-3).sqrt() * scale + bias;
            assert!((n - expected).abs() < 1e-6, "{n} {expected}");
        }
    }
}

/// The gradient includes the paths through mean and variance: it sums to zero over each channel.
#[test]
fn the_gradient_runs_through_the_statistics() {
    let (graph, x, y) = normalising();
    let mut training = with_batch_statistics(&graph).unwrap();
    let (x, y) = (training.map[x.index()], training.map[y.index()]);
    let seed = training.graph.add_input("seed", Fact::f32(Shape::batched(&[2, 3])));
    let dx = differentiate(&mut training.graph, "d", y, seed, &[x], &DefaultRules).unwrap()[0];
    let mut seeds = numbers(&[4, 2, 3]).to_f64();
    seeds.reverse();
    let feeds = |x: Tensor| [x, Tensor::f64(&[], vec![0.25]), Tensor::f64(&[4, 2, 3], seeds.clone())];
    let at = numbers(&[4, 2, 3]);
    let found = reference::run(&training.graph, &feeds(at.clone()), 4, &[dx]).unwrap().remove(0).to_f64();
    let score = |delta: f64, i: usize| {
        let mut moved = at.to_f64();
        moved[i] += delta;
        let y = reference::run(&training.graph, &feeds(Tensor::f64(&[4, 2, 3], moved)), 4, &[y]).unwrap();
        y[0].to_f64().iter().zip(&seeds).map(|(y, s)| y * s).sum::<f64>()
    };
    for (i, g) in found.iter().enumerate() {
        let d = (score(1e-5, i) - score(-1e-5, i)) / 2e-5;
        // The derivative of a mean of three multiplies by 1 ÷ 3 in single precision.
        assert!((g - d).abs() < 1e-6 * d.abs().max(1.0), "{g} {d}");
    }
}

/// A 1, expanded, summed, and multiplied by the input.
fn expanded(side: usize) -> Result<Graph, heatlens_graph::GraphError> {
    let mut graph = Graph::new("wide");
    let x = graph.add_input("x", Fact::f32(Shape::batched(&[1])));
    let mut b = Builder::new(&mut graph, "f");
    let one = b.scalar(1.0);
    let wide = b.expand(one, Shape::fixed(&[side, side]))?;
    let sum = b.sum(wide, &[0, 1], false)?;
    let y = b.mul(x, sum)?;
    simplify(&graph, &[y]).map(|simple| simple.graph)
}

#[test]
fn constants_that_grow_without_measure_are_left_to_run_time() {
    assert_eq!(expanded(8).unwrap().nodes().len(), 1, "small ones are computed");
    let left: Vec<&str> = expanded(1 << 13).unwrap().nodes().iter().map(|n| n.op.onnx_form().name).collect();
    assert_eq!(left, ["Expand", "ReduceSum", "Mul"], "2^26 numbers from one");
    let error = expanded(1 << 16).unwrap_err().to_string();
    assert!(error.contains("a constant of 4294967296 elements"), "{error}");
}
