//! Tests that compiled programs agree with the reference evaluator, with identical bits for any number of threads and
//! samples: every operator, forward and backward.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

use heatlens_cpu::Program;
use heatlens_graph::op::batch_normalization::BatchNormalization;
use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::cast::Cast;
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::conv::Conv;
use heatlens_graph::op::expand::Expand;
use heatlens_graph::op::gemm::Gemm;
use heatlens_graph::op::global_pool::{GlobalPool, GlobalPoolFunction};
use heatlens_graph::op::identity::Identity;
use heatlens_graph::op::matmul::MatMul;
use heatlens_graph::op::max_unpool::MaxUnpool;
use heatlens_graph::op::pad::Pad;
use heatlens_graph::op::pool::{AveragePool, MaxPool};
use heatlens_graph::op::reduce::{Reduce, ReduceFunction};
use heatlens_graph::op::reshape::{Flatten, Reshape, Squeeze, Unsqueeze};
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::transpose::Transpose;
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::op::variance::Variance;
use heatlens_graph::op::window::Window;
use heatlens_graph::rewrite::batch_statistics::with_batch_statistics;
use heatlens_graph::rewrite::simplify;
use heatlens_graph::{
    Builder, DType, DefaultRules, Dim, Fact, Graph, Operator, Shape, Tensor, ValueId, differentiate,
    reference,
};

/// Returns pseudo-random numbers in −1…1, adjacent ones always different.
fn numbers(len: usize, seed: usize) -> Vec<f32> {
    let value = |i: usize| (((i + 31 * seed + 7) * 2_654_435_761) >> 7) % 2000;
    (0..len).map(|i| value(i) as f32 / 1000.0 - 1.0).collect()
}

/// Runs a graph as a program and by the reference evaluator, for several batch sizes, and compares every output.
fn check(what: &str, graph: &Graph, positive: bool) {
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
fn operator(what: &str, op: impl Operator, inputs: &[Shape], positive: bool, fixed: &[usize]) {
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

fn batched(dims: &[usize]) -> Shape {
    Shape::batched(dims)
}

fn fixed(dims: &[usize]) -> Shape {
    Shape::fixed(dims)
}

#[test]
fn elementwise() {
    for function in UnaryFunction::ALL {
        let positive =
            matches!(function, UnaryFunction::Log | UnaryFunction::Sqrt | UnaryFunction::Reciprocal);
        if !function.is_flat() {
            operator(function.name(), Unary(function), &[batched(&[2, 5])], positive, &[]);
        }
    }
    operator("Clip", Clip { min: -0.3, max: 0.6 }, &[batched(&[2, 5])], false, &[]);
    let both_ways = |f: &BinaryFunction| {
        let others = matches!(f, BinaryFunction::Mod | BinaryFunction::PRelu | BinaryFunction::Fmod);
        !f.is_comparison() && !f.is_logical() && !others
    };
    for function in BinaryFunction::ALL.into_iter().filter(both_ways) {
        for pair in [
            [batched(&[2, 3, 5]), batched(&[2, 3, 5])],
            [batched(&[2, 3, 5]), fixed(&[2, 1, 1])],
            [fixed(&[3, 1]), batched(&[2, 1, 5])],
            [batched(&[4]), fixed(&[])],
        ] {
            operator(function.name(), Binary(function), &pair, true, &[]);
        }
    }
}

/// Functions whose derivative is 0, mask functions, and functions with kinks or jumps.
#[test]
fn steps_masks_and_slopes() {
    let mut graph = Graph::new("steps");
    let x = graph.add_input("x", Fact::f32(batched(&[3, 7])));
    let limit = graph.add_input("limit", Fact::f32(fixed(&[3, 1])));
    let mut b = Builder::new(&mut graph, "f");
    let wide = b.scale(x, 3.0).unwrap();
    let mut wanted = Vec::new();
    for function in UnaryFunction::ALL.into_iter().filter(|f| f.is_flat() && *f != UnaryFunction::Not) {
        wanted.push(b.unary(function, wide).unwrap());
    }
    let (above, below) = (
        b.binary(BinaryFunction::Greater, wide, limit).unwrap(),
        b.binary(BinaryFunction::LessOrEqual, x, limit).unwrap(),
    );
    for function in [BinaryFunction::And, BinaryFunction::Or, BinaryFunction::Xor] {
        let mask = b.binary(function, above, below).unwrap();
        let mask = b.unary(UnaryFunction::Not, mask).unwrap();
        wanted.push(b.apply(Cast { to: DType::F32 }, &[mask]).unwrap());
        wanted.push(b.keep_where(mask, x).unwrap());
    }
    check("steps", &simplify(&graph, &wanted).unwrap().graph, false);
    for slopes in [batched(&[2, 3, 5]), fixed(&[2, 1, 1]), fixed(&[])] {
        operator("PRelu", Binary(BinaryFunction::PRelu), &[batched(&[2, 3, 5]), slopes], false, &[]);
    }
    operator("Fmod", Binary(BinaryFunction::Fmod), &[batched(&[2, 3]), fixed(&[])], true, &[1]);
}

#[test]
fn reductions_and_softmax() {
    use ReduceFunction::{Max, Mean, Min, Prod, Sum};
    for function in [Sum, Mean, Max, Min, Prod] {
        for (axes, keep_dims) in [(vec![2, 3], true), (vec![-1], false), (vec![1], true), (vec![1, 3], false)]
        {
            operator("Reduce", Reduce { function, axes, keep_dims }, &[batched(&[3, 4, 5])], false, &[]);
        }
    }
    operator(
        "sum over the batch",
        Reduce { function: Sum, axes: vec![0, 2], keep_dims: false },
        &[batched(&[3, 40])],
        false,
        &[],
    );
    for function in [GlobalPoolFunction::Average, GlobalPoolFunction::Max] {
        operator("GlobalPool", GlobalPool(function), &[batched(&[3, 4, 5])], false, &[]);
    }
    for log in [false, true] {
        operator("Softmax", Softmax { axis: 1, log }, &[batched(&[4, 3])], false, &[]);
        operator("Softmax", Softmax { axis: -1, log }, &[batched(&[4, 3])], false, &[]);
    }
}

/// Samples with more elements than a task processes: pieces must start at the right position in every operand.
#[test]
fn large_samples_are_computed_in_pieces() {
    use heatlens_graph::op::layer_normalization::LayerNormalization;
    let x = || batched(&[130, 130]);
    operator("Sigmoid", Unary(UnaryFunction::Sigmoid), &[x()], false, &[]);
    operator("Mul", Binary(BinaryFunction::Mul), &[x(), x()], false, &[]);
    operator("Transpose", Transpose { perm: vec![0, 3, 1, 2] }, &[batched(&[7, 50, 60])], false, &[]);
    operator("Expand", Expand { shape: batched(&[3, 90, 80]) }, &[batched(&[3, 1, 80])], false, &[]);
    operator("Softmax", Softmax { axis: -1, log: false }, &[x()], false, &[]);
    operator("Softmax", Softmax { axis: 2, log: true }, &[batched(&[60, 70, 5])], false, &[]);
    operator("LayerNormalization", LayerNormalization { axis: -1, epsilon: 1e-5 }, &[x()], false, &[]);
}

#[test]
fn normalising_gathering_and_quantising() {
    use heatlens_graph::op::gather::Gather;
    use heatlens_graph::op::layer_normalization::LayerNormalization;
    use heatlens_graph::op::quantize::FakeQuantize;
    let normal = |axis| LayerNormalization { axis, epsilon: 1e-5 };
    let x = || batched(&[5, 300]);
    operator("LayerNormalization", normal(-1), &[x(), fixed(&[300]), fixed(&[300])], false, &[]);
    operator("LayerNormalization", normal(1), &[x(), fixed(&[5, 300])], false, &[]);
    operator("LayerNormalization", normal(2), &[x()], false, &[]);
    operator("LayerNormalization", normal(-1), &[x(), fixed(&[]), batched(&[5, 1])], false, &[]);
    let windows: Shape = [Dim::Batch(4), Dim::Fixed(7), Dim::Fixed(9)].into();
    operator("LayerNormalization", normal(-1), &[windows.clone(), fixed(&[9]), fixed(&[9])], false, &[]);
    for (axis, indices, shape) in
        [(1, vec![2, 0, 2], vec![3]), (2, vec![1], vec![]), (2, vec![3, 3, 1, 0, 2, 2], vec![3, 2])]
    {
        let gather = Gather { axis, indices: indices.into(), shape };
        operator("Gather", gather.clone(), &[batched(&[3, 4, 2])], false, &[]);
        operator("Gather", gather, std::slice::from_ref(&windows), false, &[]);
    }
    for part in [fixed(&[]), fixed(&[3])] {
        let op = FakeQuantize { axis: 1, low: 0.0, high: 5.0 };
        operator("FakeQuantize", op, &[batched(&[3, 10]), part.clone(), part], true, &[1, 2]);
    }
}

#[test]
fn matrix_products() {
    for (trans_a, trans_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let gemm = Gemm { trans_a, trans_b, alpha: 0.5, beta: 2.0 };
        let a = if trans_a { [Dim::Fixed(33), Dim::Batch(1)] } else { [Dim::Batch(1), Dim::Fixed(33)] };
        let b = if trans_b { fixed(&[7, 33]) } else { fixed(&[33, 7]) };
        operator("Gemm", gemm, &[a.into(), b.clone(), fixed(&[7])], false, &[]);
        operator("Gemm", gemm, &[a.into(), b], false, &[]);
    }
    operator("MatMul", MatMul, &[batched(&[3]), fixed(&[3, 2])], false, &[]);
    operator("MatMul", MatMul, &[batched(&[2, 30, 41]), batched(&[2, 41, 50])], false, &[]);
    operator("MatMul", MatMul, &[batched(&[2, 3, 4]), fixed(&[4, 2])], false, &[]);
    operator("MatMul", MatMul, &[fixed(&[50, 3]), batched(&[2, 3, 40])], false, &[]);
}

#[test]
fn moving_elements() {
    let x = || [batched(&[2, 3, 4])];
    operator("Reshape", Reshape { shape: [Dim::Batch(6), Dim::Fixed(4)].into() }, &x(), false, &[]);
    operator("Flatten", Flatten { axis: 1 }, &x(), false, &[]);
    operator("Squeeze", Squeeze { axes: vec![-1] }, &[batched(&[2, 1])], false, &[]);
    operator("Unsqueeze", Unsqueeze { axes: vec![1, -1] }, &x(), false, &[]);
    operator("Identity", Identity::Dropout, &x(), false, &[]);
    operator("Cast", Cast { to: DType::F32 }, &x(), false, &[]);
    operator("Transpose", Transpose { perm: vec![0, 3, 1, 2] }, &x(), false, &[]);
    operator("Transpose", Transpose { perm: vec![3, 0, 2, 1] }, &x(), false, &[]);
    operator("Concat", Concat { axis: -2 }, &[batched(&[2, 3, 4]), batched(&[2, 1, 4])], false, &[]);
    operator("Concat", Concat { axis: 1 }, &[batched(&[2, 3]), batched(&[5, 3])], false, &[]);
    operator("Slice", Slice { axis: 2, start: 1, len: 2, step: 2 }, &[batched(&[2, 5, 4])], false, &[]);
    operator("Pad", Pad { begin: vec![0, 0, 1, 2], end: vec![0, 1, 2, 0], value: 3.0 }, &x(), false, &[]);
    operator("Expand", Expand { shape: batched(&[2, 3]) }, &[fixed(&[2, 1])], false, &[]);
}

/// Windows of every kind, with sizes of the planes.
fn windows() -> Vec<(Window, [usize; 2])> {
    let uneven = Window { pads_begin: vec![0, 1], pads_end: vec![2, 0], ..Window::new(&[2, 3]) };
    vec![
        (Window::new(&[3, 3]), [45, 38]),
        (Window::new(&[3, 3]).pads(&[1, 1]), [7, 7]),
        (Window::new(&[3, 3]).strides(&[2, 2]).pads(&[1, 1]), [14, 13]),
        (Window::new(&[7, 7]).strides(&[2, 2]).pads(&[3, 3]), [21, 20]),
        (Window { dilations: vec![2, 3], ..Window::new(&[2, 2]) }, [9, 8]),
        (uneven.strides(&[1, 2]), [8, 9]),
        (Window::new(&[1, 1]), [6, 5]),
        (Window::new(&[1, 1]).strides(&[2, 2]), [6, 5]),
        (Window::new(&[2, 2]).strides(&[2, 2]), [10, 11]),
    ]
}

/// Shapes used by transformers: heads, windows, scores, masks, shifted parts.
#[test]
fn shapes_of_transformers() {
    let windows = |rest: &[usize]| {
        let mut shape = fixed(rest);
        shape.0.insert(0, Dim::Batch(4));
        shape
    };
    for (a, b) in [
        (batched(&[3, 5, 4]), batched(&[3, 4, 5])),
        (batched(&[3, 5, 4]), batched(&[1, 4, 5])),
        (batched(&[3, 5, 4]), fixed(&[4, 6])),
        (batched(&[3, 5, 4]), fixed(&[3, 4, 6])),
        (fixed(&[2, 2, 5]), batched(&[2, 5, 4])),
        (fixed(&[6, 5]), windows(&[5, 4])),
        (windows(&[2, 7, 3]), windows(&[2, 3, 7])),
        ([Dim::Fixed(3), Dim::Batch(2), Dim::Fixed(4)].into(), fixed(&[4, 5])),
        ([Dim::Fixed(3), Dim::Batch(2), Dim::Fixed(4), Dim::Fixed(2)].into(), fixed(&[2, 5])),
        (fixed(&[3, 4]), fixed(&[4, 2])),
    ] {
        operator(&format!("MatMul {a} {b}"), MatMul, &[a, b], false, &[]);
    }
    for axis in [1, 2, -1] {
        operator("Softmax", Softmax { axis, log: false }, &[windows(&[3, 7, 5])], false, &[]);
    }
    let turned = Transpose { perm: vec![2, 0, 3, 1, 4] };
    operator("Transpose", turned, &[batched(&[2, 3, 4, 5])], false, &[]);
    operator("Transpose", Transpose { perm: vec![1, 0, 2] }, &[windows(&[3, 5])], false, &[]);
    let three = [windows(&[2, 3]), windows(&[1, 3]), windows(&[4, 3])];
    operator("Concat", Concat { axis: 1 }, &three, false, &[]);
    let three = [batched(&[2, 3]), batched(&[2, 1]), batched(&[2, 4])];
    operator("Concat", Concat { axis: 2 }, &three, false, &[]);
    operator("Slice", Slice { axis: 1, start: 1, len: 3, step: 3 }, &[windows(&[8, 3])], false, &[]);
    let pad = Pad { begin: vec![0, 1, 0, 2], end: vec![0, 0, 3, 1], value: -1.0 };
    operator("Pad", pad, &[windows(&[2, 3, 4])], false, &[]);
    for axes in [vec![1], vec![1, 3], vec![-1], vec![1, 2, 3]] {
        let reduce = Reduce { function: ReduceFunction::Mean, axes, keep_dims: true };
        operator("Reduce", reduce, &[windows(&[2, 3, 4])], false, &[]);
    }
}

/// A block of shifted windows: slice, roll, transpose, masked attention within a window, and back.
#[test]
fn attention_in_shifted_windows() {
    let mut graph = Graph::new("windows");
    let x = graph.add_input("x", Fact::f32(batched(&[4, 4, 6])));
    let w = graph.add_input("w", Fact::f32(fixed(&[6, 18])));
    let bias = graph.add_input("bias", Fact::f32(fixed(&[2, 4, 4])));
    let mask = graph.add_constant("mask", Tensor::f32(&[4, 1, 4, 4], numbers(64, 9)));
    let mut b = Builder::new(&mut graph, "f");
    let shape = |dims: &[Dim]| Shape(dims.to_vec());
    let f = Dim::Fixed;
    let front = b.apply(Slice { axis: 1, start: 1, len: 3, step: 1 }, &[x]).unwrap();
    let back = b.apply(Slice { axis: 1, start: 0, len: 1, step: 1 }, &[x]).unwrap();
    let rolled = b.apply(Concat { axis: 1 }, &[front, back]).unwrap();
    let cut = b.reshape(rolled, shape(&[Dim::Batch(1), f(2), f(2), f(2), f(2), f(6)])).unwrap();
    let turned = b.transpose(cut, &[0, 1, 3, 2, 4, 5]).unwrap();
    let tokens = b.reshape(turned, shape(&[Dim::Batch(4), f(4), f(6)])).unwrap();
    let all = b.matmul(tokens, w).unwrap();
    let heads = b.reshape(all, shape(&[Dim::Batch(4), f(4), f(3), f(2), f(3)])).unwrap();
    let heads = b.transpose(heads, &[2, 0, 3, 1, 4]).unwrap();
    let [q, k, v] = [0, 1, 2].map(|start| {
        let part = b.apply(Slice { axis: 0, start, len: 1, step: 1 }, &[heads]).unwrap();
        b.apply(Squeeze { axes: vec![0] }, &[part]).unwrap()
    });
    let k = b.transpose_last(k).unwrap();
    let scores = b.matmul(q, k).unwrap();
    let scores = b.add(scores, bias).unwrap();
    let grouped = b.reshape(scores, shape(&[Dim::Batch(1), f(4), f(2), f(4), f(4)])).unwrap();
    let masked = b.add(grouped, mask).unwrap();
    let flat = b.reshape(masked, shape(&[Dim::Batch(4), f(2), f(4), f(4)])).unwrap();
    let weights = b.apply(Softmax { axis: -1, log: false }, &[flat]).unwrap();
    let mixed = b.matmul(weights, v).unwrap();
    let mixed = b.transpose(mixed, &[0, 2, 1, 3]).unwrap();
    let tokens = b.reshape(mixed, shape(&[Dim::Batch(1), f(2), f(2), f(2), f(2), f(6)])).unwrap();
    let whole = b.transpose(tokens, &[0, 1, 3, 2, 4, 5]).unwrap();
    let y = b.reshape(whole, batched(&[4, 4, 6])).unwrap();
    // `Where` with a mask of another shape, computed by a comparison.
    let limit = b.scalar(0.1);
    let far = b.binary(BinaryFunction::Greater, bias, limit).unwrap();
    let far = b.apply(Slice { axis: 0, start: 0, len: 1, step: 1 }, &[far]).unwrap();
    let far = b.reshape(far, fixed(&[4, 4, 1])).unwrap();
    let y = b.apply(heatlens_graph::op::r#where::Where, &[far, y, x]).unwrap();
    let seed = graph.add_input("seed", Fact::f32(batched(&[4, 4, 6])));
    let mut wanted = vec![y];
    wanted.extend(differentiate(&mut graph, "d", y, seed, &[x, w, bias], &DefaultRules).unwrap());
    check("windows", &simplify(&graph, &wanted).unwrap().graph, false);
}

/// Attention as in PyTorch: tokens first, heads next to the samples, L×(N·h)×d.
#[test]
fn attention_with_heads_beside_the_samples() {
    let mut graph = Graph::new("heads");
    let x = graph.add_input("x", Fact::f32(batched(&[5, 6])));
    let mut b = Builder::new(&mut graph, "f");
    let tokens = b.transpose(x, &[1, 0, 2]).unwrap();
    let heads = b.reshape(tokens, [Dim::Fixed(5), Dim::Batch(2), Dim::Fixed(3)].into()).unwrap();
    let heads = b.transpose(heads, &[1, 0, 2]).unwrap();
    let other = b.transpose(heads, &[0, 2, 1]).unwrap();
    let scores = b.matmul(heads, other).unwrap();
    let weights = b.apply(Softmax { axis: -1, log: false }, &[scores]).unwrap();
    let mixed = b.matmul(weights, heads).unwrap();
    let mixed = b.transpose(mixed, &[1, 0, 2]).unwrap();
    let tokens = b.reshape(mixed, [Dim::Fixed(5), Dim::Batch(1), Dim::Fixed(6)].into()).unwrap();
    let y = b.transpose(tokens, &[1, 0, 2]).unwrap();
    let seed = graph.add_input("seed", Fact::f32(batched(&[5, 6])));
    let mut wanted = vec![y];
    wanted.extend(differentiate(&mut graph, "d", y, seed, &[x], &DefaultRules).unwrap());
    check("heads", &simplify(&graph, &wanted).unwrap().graph, false);
}

#[test]
fn convolutions() {
    for (window, [h, w]) in windows() {
        for (group, c, m) in [(1, 1, 20), (1, 5, 3), (2, 4, 6), (4, 4, 4), (4, 4, 8)] {
            let weights = fixed(&[m, c / group, window.kernel[0], window.kernel[1]]);
            let conv = Conv { window: window.clone(), group };
            let what = format!("Conv {window:?} group {group}");
            operator(&what, conv, &[batched(&[c, h, w]), weights, fixed(&[m])], false, &[]);
        }
    }
}

/// Windows over three axes that do not slide along the last, as in lambda networks.
#[test]
fn windows_over_three_axes_of_which_two_slide() {
    let window =
        Window { dilations: vec![1, 2, 1], ..Window::new(&[3, 2, 1]).strides(&[2, 1, 1]).pads(&[1, 1, 0]) };
    let inputs = [batched(&[2, 7, 6, 3]), fixed(&[5, 2, 3, 2, 1]), fixed(&[5])];
    operator("Conv", Conv { window, group: 1 }, &inputs, false, &[]);
    let mut graph = Graph::new("volume");
    let x = graph.add_input("x", Fact::f32(batched(&[1, 4, 4, 4])));
    let w = graph.add_input("w", Fact::f32(fixed(&[1, 1, 2, 2, 2])));
    let conv = Conv { window: Window::new(&[2, 2, 2]), group: 1 };
    let y = Builder::new(&mut graph, "net").apply(conv, &[x, w]).unwrap();
    graph.set_outputs(&[y]);
    let refusal = Program::compile(&graph).unwrap_err().to_string();
    assert!(refusal.contains("windows over 3 axes"), "{refusal}");
}

/// Files may have a fixed batch size, for example 3, in every shape: a sample is then a group of three.
#[test]
fn a_batch_that_is_a_plain_number() {
    let conv = Conv { window: Window::new(&[3, 2]).strides(&[2, 1]).pads(&[1, 0]), group: 2 };
    let inputs = [fixed(&[3, 4, 6, 5]), fixed(&[6, 2, 3, 2]), fixed(&[6])];
    operator("Conv", conv, &inputs, false, &[]);
    let c = || fixed(&[4]);
    let inputs = [fixed(&[3, 4, 2, 2]), c(), c(), c(), c()];
    operator("BatchNormalization", BatchNormalization { epsilon: 1e-3 }, &inputs, true, &[]);
    operator("Variance", Variance, &inputs[..1], false, &[]);
    let window = Window::new(&[2, 2]).strides(&[2, 2]);
    let x = || [fixed(&[3, 4, 6, 4])];
    operator("MaxPool", MaxPool { window: window.clone(), ceil_mode: false }, &x(), false, &[]);
    let pool = AveragePool { window, ceil_mode: false, count_include_pad: false };
    operator("AveragePool", pool, &x(), false, &[]);
    operator("GlobalAveragePool", GlobalPool(GlobalPoolFunction::Average), &x(), false, &[]);
}

/// A ReLU is fused into the convolution if it is its only reader; values with other readers are kept.
#[test]
fn a_fused_rectifier_hides_nothing() {
    for (what, shown) in [("fused", 1), ("shown", 2), ("read twice", 3)] {
        let mut graph = Graph::new(what);
        let x = graph.add_input("x", Fact::f32(batched(&[2, 6, 5])));
        let w = graph.add_input("w", Fact::f32(fixed(&[3, 2, 3, 3])));
        let mut b = Builder::new(&mut graph, "f");
        let conv = b.apply(Conv { window: Window::new(&[3, 3]), group: 1 }, &[x, w]).unwrap();
        let relu = b.relu(conv).unwrap();
        let other = b.neg(conv).unwrap();
        graph.set_outputs(&[relu, conv, other][..shown]);
        check(what, &simplify(&graph, graph.outputs()).unwrap().graph, false);
    }
}

/// Fused elementwise functions: values with other readers are kept, whatever the shapes.
#[test]
fn a_chain_hides_nothing() {
    type Made = fn(&mut Builder<'_>, [ValueId; 3]) -> Vec<ValueId>;
    let cases: [(&str, usize, Made); 11] = [
        ("GELU of a sum", 1, |b, [x, channel, row]| {
            let sum = b.add(x, channel).unwrap();
            let gelu = gelu_written_out(b, sum);
            vec![b.mul(gelu, row).unwrap()]
        }),
        ("GELU of a value that is shown", 2, |b, [x, channel, _]| {
            let sum = b.add(x, channel).unwrap();
            vec![gelu_written_out(b, sum), sum]
        }),
        ("SiLU of a sum", 1, |b, [x, channel, _]| {
            let sum = b.add(x, channel).unwrap();
            let bent = b.unary(UnaryFunction::Sigmoid, sum).unwrap();
            vec![b.mul(sum, bent).unwrap()]
        }),
        ("SiLU of another value", 1, |b, [x, channel, _]| {
            let sum = b.add(x, channel).unwrap();
            let bent = b.unary(UnaryFunction::Sigmoid, sum).unwrap();
            vec![b.mul(x, bent).unwrap()]
        }),
        ("GELU written out", 1, |b, [x, ..]| vec![gelu_written_out(b, x)]),
        ("repeated operands", 1, |b, [x, channel, row]| {
            let shifted = b.add(x, channel).unwrap();
            let scaled = b.mul(row, shifted).unwrap();
            vec![b.sub(channel, scaled).unwrap()]
        }),
        ("a result of a smaller shape", 2, |b, [x, channel, row]| {
            let bent = b.unary(UnaryFunction::Tanh, channel).unwrap();
            let sum = b.add(x, bent).unwrap();
            vec![b.mul(sum, row).unwrap()]
        }),
        ("shown on the way", 2, |b, [x, channel, _]| {
            let shifted = b.add(x, channel).unwrap();
            vec![b.unary(UnaryFunction::Sigmoid, shifted).unwrap(), shifted]
        }),
        ("read twice", 2, |b, [x, ..]| {
            let bent = b.unary(UnaryFunction::Exp, x).unwrap();
            vec![b.mul(bent, bent).unwrap()]
        }),
        ("a tree", 1, |b, [x, channel, row]| {
            let parts = [channel, row, x].map(|other| b.add(x, other).unwrap());
            let bent = parts.map(|part| b.unary(UnaryFunction::Sigmoid, part).unwrap());
            let product = b.mul(bent[0], bent[1]).unwrap();
            let mask = b.is_positive(product).unwrap();
            vec![b.keep_where(mask, bent[2]).unwrap()]
        }),
        ("longer than a chain may be", 3, |b, [x, ..]| {
            let mut y = x;
            for _ in 0..20 {
                y = b.scale(y, 0.9).unwrap();
                y = b.unary(UnaryFunction::Tanh, y).unwrap();
            }
            vec![y]
        }),
    ];
    for (what, steps, made) in cases {
        let mut graph = Graph::new(what);
        // Several pieces and tasks, the last ones partial.
        let x = graph.add_input("x", Fact::f32(batched(&[3, 70, 83])));
        let channel = graph.add_input("channel", Fact::f32(fixed(&[3, 1, 1])));
        let row = graph.add_input("row", Fact::f32(fixed(&[83])));
        let outputs = made(&mut Builder::new(&mut graph, "f"), [x, channel, row]);
        graph.set_outputs(&outputs);
        let simple = simplify(&graph, &outputs).unwrap().graph;
        check(what, &simple, false);
        assert_eq!(steps_of(&simple), steps, "{what}");
    }
}

fn gelu_written_out(b: &mut Builder<'_>, x: ValueId) -> ValueId {
    let scaled = b.scale(x, std::f32::consts::FRAC_1_SQRT_2).unwrap();
    let erf = b.unary(UnaryFunction::Erf, scaled).unwrap();
    let one = b.scalar(1.0);
    let sum = b.add(erf, one).unwrap();
    let product = b.mul(x, sum).unwrap();
    b.scale(product, 0.5).unwrap()
}

/// A function joins a chain behind a sum over the samples only if it reads no more than it returns: what it reads may be
/// kept for every sample.
#[test]
fn a_chain_does_not_wait_for_the_batch() {
    for (reads_two, steps) in [(false, 2), (true, 3)] {
        let mut graph = Graph::new("centred");
        let [x, other] = ["x", "other"].map(|name| graph.add_input(name, Fact::f32(batched(&[5, 4]))));
        let mut b = Builder::new(&mut graph, "f");
        let bent = if reads_two { b.mul(x, other) } else { b.unary(UnaryFunction::Tanh, other) }.unwrap();
        let total = b.sum(x, &[0], true).unwrap();
        let centred = b.sub(bent, total).unwrap();
        graph.set_outputs(&[centred]);
        check("centred", &graph, false);
        assert_eq!(steps_of(&graph), steps, "the function by itself, the sum, the difference");
    }
}

/// A function of one operand reads the single element that was expanded.
#[test]
fn functions_of_expanded_elements_are_repeated() {
    for function in [UnaryFunction::Sigmoid, UnaryFunction::Abs, UnaryFunction::Gelu] {
        let mut graph = Graph::new("expanded");
        let [x, y] = [[1, 1], [5, 4]]
            .map(|shape| graph.add_input(&format!("x{}", shape[0]), Fact::f32(batched(&shape))));
        let mut b = Builder::new(&mut graph, "f");
        let wide = b.expand(x, batched(&[5, 4])).unwrap();
        let bent = b.unary(function, wide).unwrap();
        let sum = b.add(bent, y).unwrap();
        graph.set_outputs(&[bent, sum]);
        check("expanded", &graph, false);
    }
}

fn steps_of(graph: &Graph) -> usize {
    let feeds: Vec<Vec<f32>> =
        graph.inputs().iter().map(|&i| numbers(graph.fact(i).shape.at(1).iter().product(), 1)).collect();
    let feeds: Vec<&[f32]> = feeds.iter().map(Vec::as_slice).collect();
    Program::compile(graph).unwrap().profile(&feeds, 1).unwrap().len()
}

#[test]
fn pools() {
    for (window, [h, w]) in windows() {
        if window.pads_end.iter().zip(&window.kernel).any(|(p, k)| p >= k) {
            continue; // a window must not contain padding only
        }
        for ceil_mode in [false, true] {
            operator(
                "MaxPool",
                MaxPool { window: window.clone(), ceil_mode },
                &[batched(&[3, h, w])],
                false,
                &[],
            );
            if !window.overlaps() {
                let out = window.output_sizes(&[h, w], ceil_mode).unwrap();
                let inputs = [batched(&[3, h, w]), batched(&[3, out[0], out[1]])];
                let pool = MaxPool { window: window.clone(), ceil_mode };
                operator("MaxUnpool", MaxUnpool { pool }, &inputs, false, &[0]);
            }
            for count_include_pad in [false, true] {
                let pool = AveragePool { window: window.clone(), ceil_mode, count_include_pad };
                operator("AveragePool", pool, &[batched(&[3, h, w])], false, &[]);
            }
        }
    }
}

/// A block with a normalisation, a skip connection and a dense layer: forward, every gradient, and the same in
/// training, where batch statistics divide the program into blocks.
#[test]
fn a_network_forward_and_backward() {
    let mut graph = Graph::new("network");
    let x = graph.add_input("x", Fact::f32(batched(&[3, 12, 10])));
    let constant = |g: &mut Graph, shape: &[usize], seed: usize, shift: f32| {
        let values = numbers(shape.iter().product(), seed).iter().map(|v| 0.3 * v + shift).collect();
        g.add_constant("w", Tensor::f32(shape, values))
    };
    let kernel = constant(&mut graph, &[6, 3, 3, 3], 1, 0.0);
    let channel: Vec<ValueId> = (0..4).map(|i| constant(&mut graph, &[6], 5 + i, 1.0)).collect();
    let second = constant(&mut graph, &[6, 6, 3, 3], 20, 0.0);
    let dense = constant(&mut graph, &[2, 6], 30, 0.0);
    let mut b = Builder::new(&mut graph, "n");
    let same = Window::new(&[3, 3]).pads(&[1, 1]);
    let conv = b.apply(Conv { window: same.clone(), group: 1 }, &[x, kernel]).unwrap();
    let inputs = [conv, channel[0], channel[1], channel[2], channel[3]];
    let norm = b.apply(BatchNormalization { epsilon: 1e-3 }, &inputs).unwrap();
    let relu = b.relu(norm).unwrap();
    let again = b.apply(Conv { window: same, group: 1 }, &[relu, second]).unwrap();
    let skip = b.add(again, relu).unwrap();
    let pool = MaxPool { window: Window::new(&[3, 3]).strides(&[2, 2]).pads(&[1, 1]), ceil_mode: false };
    let pooled = b.apply(pool, &[skip]).unwrap();
    let mean = b.mean(pooled, &[2, 3], false).unwrap();
    let logits = b.apply(Gemm { trans_b: true, ..Gemm::default() }, &[mean, dense]).unwrap();
    graph.set_outputs(&[logits]);

    let mut plain = graph.clone();
    let seed = plain.add_input("seed", Fact::f32(batched(&[2])));
    let wrt = [x, kernel, channel[0], channel[1], second, dense];
    let mut wanted = vec![logits];
    wanted.extend(differentiate(&mut plain, "d", logits, seed, &wrt, &DefaultRules).unwrap());
    check("inference", &simplify(&plain, &wanted).unwrap().graph, false);

    let training = with_batch_statistics(&graph).unwrap();
    let at = |id: ValueId| training.map[id.index()];
    let mut trained = training.graph.clone();
    let seed = trained.add_input("seed", Fact::f32(batched(&[2])));
    let mut wanted = vec![at(logits), training.statistics[0].mean, training.statistics[0].variance];
    wanted.extend(differentiate(&mut trained, "d", at(logits), seed, &wrt.map(at), &DefaultRules).unwrap());
    // The inputs make 1 ÷ N an arbitrary number, the same for both.
    check("training", &simplify(&trained, &wanted).unwrap().graph, true);
}

#[test]
fn what_cannot_run_is_listed_at_once() {
    let mut graph = Graph::new("mixing");
    let x = graph.add_input("x", Fact::f32(batched(&[3])));
    let mut b = Builder::new(&mut graph, "f");
    let top = b.reduce(ReduceFunction::Max, x, &[0], false).unwrap();
    let low = b.reduce(ReduceFunction::Min, x, &[0], false).unwrap();
    graph.set_outputs(&[top, low]);
    let refusal = Program::compile(&graph).unwrap_err().to_string();
    assert!(
        refusal.contains("ReduceMax") && refusal.contains("ReduceMin") && refusal.contains("samples"),
        "{refusal}"
    );
}

#[test]
fn wrong_feeds_are_refused() {
    let mut graph = Graph::new("two");
    let x = graph.add_input("x", Fact::f32(batched(&[3])));
    graph.set_outputs(&[x]);
    let program = Program::compile(&graph).unwrap();
    assert_eq!(program.run(&[&[1.0, 2.0, 3.0]], 1).unwrap(), [[1.0, 2.0, 3.0]]);
    assert!(program.run(&[&[1.0, 2.0]], 1).unwrap_err().to_string().contains("expected 3"));
    assert!(program.run(&[], 1).is_err());
}
