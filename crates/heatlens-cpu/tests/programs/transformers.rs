//! Shapes and blocks of transformers.

use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::matmul::MatMul;
use heatlens_graph::op::pad::Pad;
use heatlens_graph::op::reduce::{Reduce, ReduceFunction};
use heatlens_graph::op::reshape::Squeeze;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::transpose::Transpose;
use heatlens_graph::rewrite::simplify;
use heatlens_graph::{Builder, DefaultRules, Dim, Fact, Graph, Shape, Tensor, differentiate};

use crate::check::{batched, check, fixed, numbers, operator};

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
