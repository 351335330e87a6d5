//! Tests that compiled programs agree with the reference evaluator, with identical bits for any number of threads and
//! samples: every operator, forward and backward.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

mod check;
mod fusion;
mod transformers;

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
use heatlens_graph::{Builder, DType, DefaultRules, Dim, Fact, Graph, Shape, Tensor, ValueId, differentiate};

use check::{batched, check, fixed, numbers, operator};

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
