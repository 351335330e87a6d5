//! Comparison of a compiled program with the reference evaluator.

use heatlens_cpu::Program;
use heatlens_graph::rewrite::simplify;
use heatlens_graph::{
    Builder, DefaultRules, Fact, Graph, Operator, Shape, Tensor, ValueId, differentiate, reference,
};

/// Returns pseudo-random numbers in −1…1, adjacent ones always different.
pub(crate) fn numbers(len: usize, seed: usize) -> Vec<f32> {
    let value = |i: usize| (((i + 31 * seed + 7) * 2_654_435_761) >> 7) % 2000;
    (0..len).map(|i| value(i) as f32 / 1000.0 - 1.0).collect()
}

/// Runs a graph as a program and by the reference evaluator, for several batch sizes, and compares every output.
pub(crate) fn check(what: &str, graph: &Graph, positive: bool) {
    let program = Program::compile(graph).unwrap_or_else(|e| panic!("{what}: {e}"));
    // 21 samples are six chunks, enough for every branch of the tree that adds them.
    for n in [1, 3, 21] {
        let mut feeds: Vec<Vec<f32>> = Vec::new();
        for (i, &input) in graph.inputs().iter().enumerate() {
            let len = graph.fact(input).shape.at(n).iter().product();
            let shift = |v: f32| if positive { 1.5 + v } else { v };
            feeds.push(numbers(len, i + 1).into_iter().map(shift).collect());
        }
        let slices: Vec<&[f32]> = feeds.iter().map(Vec::as_slice).collect();
        let found = program.run(&slices, n).unwrap();
        let tensors: Vec<Tensor> = graph
            .inputs()
            .iter()
            .zip(&feeds)
            .map(|(&i, feed)| whole(&graph.fact(i).shape, n, feed))
            .collect();
        let expected = reference::run(graph, &tensors, n, graph.outputs()).unwrap();
        for (o, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let expected = sample_by_sample(&graph.fact(graph.outputs()[o]).shape, n, expected);
            close(&format!("{what}, output {o}, {n} samples"), found, &expected);
        }
        same_bits(what, graph, &program, &slices, n, &found);
    }
}

/// Returns for each element of the whole array, in row-major order, its position when samples are stored one after the
/// other.
fn places(shape: &Shape, n: usize) -> Vec<usize> {
    let axis = shape.0.iter().position(|d| d.is_batch());
    let sizes = shape.at(n);
    let len: usize = sizes.iter().product();
    let Some(axis) = axis else { return (0..len).collect() };
    let inner: usize = sizes[axis + 1..].iter().product();
    let (all, own) = (sizes[axis], sizes[axis] / n);
    let place = |i: usize| {
        let (outer, at, rest) = (i / (inner * all), i / inner % all, i % inner);
        at / own * (len / n) + (outer * own + at % own) * inner + rest
    };
    (0..len).map(place).collect()
}

/// Converts samples stored one after the other to one array.
fn whole(shape: &Shape, n: usize, samples: &[f32]) -> Tensor {
    Tensor::f32(&shape.at(n), places(shape, n).into_iter().map(|i| samples[i]).collect())
}

/// Converts one array to samples stored one after the other.
fn sample_by_sample(shape: &Shape, n: usize, whole: &Tensor) -> Vec<f64> {
    let mut samples = vec![0.0; whole.len()];
    for (place, v) in places(shape, n).into_iter().zip(whole.to_f64()) {
        samples[place] = v;
    }
    samples
}

fn close(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let off = (f64::from(*f) - e).abs() / largest;
        assert!(off < 2e-5, "{what}[{i}]: found {f}, expected {e}, off by {off:e} of the largest");
    }
}

/// Checks that one thread, several threads and single samples give the same bits.
fn same_bits(what: &str, graph: &Graph, program: &Program, feeds: &[&[f32]], n: usize, all: &[Vec<f32>]) {
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let again = pool.install(|| program.run(feeds, n).unwrap());
        assert!(bits(&again) == bits(all), "{what}: {threads} threads change the result");
    }
    for i in 0..n {
        let own = |(&input, feed): (&ValueId, &&[f32])| {
            let len = feed.len() / n;
            let per_sample = graph.fact(input).shape.has_batch();
            if per_sample { feed[i * len..(i + 1) * len].to_vec() } else { feed.to_vec() }
        };
        let single: Vec<Vec<f32>> = graph.inputs().iter().zip(feeds).map(own).collect();
        let slices: Vec<&[f32]> = single.iter().map(Vec::as_slice).collect();
        let alone = program.run(&slices, 1).unwrap();
        for ((&output, alone), all) in graph.outputs().iter().zip(&alone).zip(all) {
            // Only values that depend on sums over the batch may differ.
            if graph.fact(output).shape.has_batch() && !sums_over_batch(graph) {
                let len = all.len() / n;
                let part = &all[i * len..(i + 1) * len];
                assert!(
                    bits(std::slice::from_ref(alone)) == bits(&[part.to_vec()]),
                    "{what}: sample {i} alone differs"
                );
            }
        }
    }
}

fn bits(values: &[Vec<f32>]) -> Vec<Vec<u32>> {
    values.iter().map(|v| v.iter().map(|x| x.to_bits()).collect()).collect()
}

fn sums_over_batch(graph: &Graph) -> bool {
    let has_batch = |id: &ValueId| graph.fact(*id).shape.has_batch();
    let mut nodes = graph.nodes().iter();
    let own = nodes.any(|n| n.inputs.iter().flatten().any(has_batch) && !n.outputs.iter().all(has_batch));
    own || graph.find("inverse_batch").is_some()
}

/// Checks an operator and its gradients in one graph.
pub(crate) fn operator(what: &str, op: impl Operator, inputs: &[Shape], positive: bool, fixed: &[usize]) {
    let mut graph = Graph::new(what);
    let x: Vec<ValueId> = inputs
        .iter()
        .enumerate()
        .map(|(i, s)| graph.add_input(&format!("x{i}"), Fact::f32(s.clone())))
        .collect();
    let y = Builder::new(&mut graph, "f").apply(op, &x).unwrap();
    let seed = graph.add_input("seed", Fact::f32(graph.fact(y).shape.clone()));
    let wrt: Vec<ValueId> = (0..x.len()).filter(|i| !fixed.contains(i)).map(|i| x[i]).collect();
    let mut wanted = vec![y];
    wanted.extend(differentiate(&mut graph, "d", y, seed, &wrt, &DefaultRules).unwrap());
    check(what, &simplify(&graph, &wanted).unwrap().graph, positive);
}

pub(crate) fn batched(dims: &[usize]) -> Shape {
    Shape::batched(dims)
}

pub(crate) fn fixed(dims: &[usize]) -> Shape {
    Shape::fixed(dims)
}
