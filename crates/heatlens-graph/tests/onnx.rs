//! Tests that ONNX files of several operator sets give the same results as in onnxruntime, are unchanged after writing
//! and reading, and are safe to open when damaged.
//!
//! The samples are created by `tools/golden/make_onnx_samples.py` and contain their own test data.

#![cfg(feature = "onnx")]
#![allow(clippy::unwrap_used)] // test helpers

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use heatlens_graph::onnx::{self, OnnxError};
use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::cast::Cast;
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::conv::Conv;
use heatlens_graph::op::conv_grad::ConvWeightGrad;
use heatlens_graph::op::gemm::Gemm;
use heatlens_graph::op::global_pool::{GlobalPool, GlobalPoolFunction};
use heatlens_graph::op::identity::Identity;
use heatlens_graph::op::matmul::MatMul;
use heatlens_graph::op::pad::{Pad, Unslice};
use heatlens_graph::op::pool::{AveragePool, MaxPool};
use heatlens_graph::op::reduce::{Reduce, ReduceFunction};
use heatlens_graph::op::reshape::{Flatten, Reshape, Squeeze, Unsqueeze};
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::transpose::Transpose;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::r#where::Where;
use heatlens_graph::op::window::Window;
use heatlens_graph::{Builder, DType, Dim, Fact, Graph, Shape, Tensor, ValueId, reference};
use proptest::prelude::*;

const SAMPLES: [&str; 10] = [
    "conv_auto_pad",
    "half_weights",
    "opset13",
    "opset17",
    "opset18",
    "opset9",
    "pools_ceil",
    "residual",
    "squeeze_excite",
    "unpooling",
];

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx").join(format!("{name}.onnx"))
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(sample(name)).unwrap()
}

/// Returns the numbers stored in a sample's metadata under `key`.
fn numbers(graph: &Graph, key: &str) -> Vec<f64> {
    graph.metadata[key].split(' ').map(|n| n.parse().unwrap()).collect()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn check_against_onnxruntime(name: &str, graph: &Graph) {
    let shape: Vec<usize> = numbers(graph, "test.shape").iter().map(|&d| d as usize).collect();
    let input = numbers(graph, "test.input").iter().map(|&v| v as f32).collect();
    let feed = Tensor::f32(&shape, input);
    let found = reference::run(graph, &[feed], shape[0], graph.outputs()).unwrap()[0].to_f64();
    let expected = numbers(graph, "test.output");
    assert_eq!(found.len(), expected.len(), "{name}");
    for (f, e) in found.iter().zip(&expected) {
        assert!((f - e).abs() <= 1e-5 * e.abs().max(1.0), "{name}: {f} but onnxruntime has {e}");
    }
}

#[test]
fn every_sample_computes_what_onnxruntime_computes() {
    let mut found: Vec<String> = std::fs::read_dir(sample("x").parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, SAMPLES, "every file of the folder is tested");
    for name in SAMPLES {
        let opened = onnx::open_file(&sample(name)).unwrap();
        assert!(opened.graph.fact(opened.graph.inputs()[0]).shape.0[0].is_batch(), "{name}");
        check_against_onnxruntime(name, &opened.graph);
        check_against_onnxruntime(name, &onnx::read(onnx::write(&opened.graph).unwrap()).unwrap());
    }
}

#[test]
fn names_and_warnings_are_kept() {
    let opened = onnx::open_file(&sample("half_weights")).unwrap();
    assert_eq!(opened.warnings, ["double precision weights are rounded to single"]);
    let names: Vec<&str> = opened.graph.nodes().iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["conv_1", "flatten_2", "matmul_4"]);
    assert!(opened.graph.find("conv_1_out").is_some());
    assert_eq!(opened.graph.name, "half_weights");
}

/// A comparable form of a graph: everything except ids.
#[derive(Debug, PartialEq)]
struct Described {
    name: String,
    metadata: BTreeMap<String, String>,
    inputs: Vec<(String, Fact)>,
    outputs: Vec<(String, Fact)>,
    nodes: Vec<String>,
    constants: BTreeMap<String, Tensor>,
}

fn describe(graph: &Graph) -> Described {
    let named =
        |ids: &[ValueId]| ids.iter().map(|&i| (graph.value(i).name.clone(), graph.fact(i).clone())).collect();
    let mut seen = BTreeSet::new();
    let node = |n: &heatlens_graph::Node| {
        // If a name is taken, that of the first output is used.
        let own = if seen.insert(n.name.clone()) { &n.name } else { &graph.value(n.outputs[0]).name };
        let inputs: Vec<_> = n.inputs.iter().map(|i| i.map(|i| &graph.value(i).name)).collect();
        format!("{own:?} {:?} {inputs:?} {:?} {:?}", n.op, named(&n.outputs) as Vec<_>, n.metadata)
    };
    let used = graph.nodes().iter().flat_map(|n| n.inputs.iter().flatten());
    let constant = |&id: &ValueId| graph.constant(id).map(|t| (graph.value(id).name.clone(), t.clone()));
    Described {
        name: graph.name.clone(),
        metadata: graph.metadata.clone(),
        inputs: named(graph.inputs()),
        outputs: named(graph.outputs()),
        nodes: graph.nodes().iter().map(node).collect(),
        constants: used.filter_map(constant).collect(),
    }
}

/// Returns a graph that contains every standard operator at least once.
fn everything() -> Graph {
    let mut graph = Graph::new("everything");
    graph.metadata =
        BTreeMap::from([("z".to_owned(), "last".to_owned()), ("a".to_owned(), "é\n".to_owned())]);
    let x = graph.add_input("image", Fact::f32(Shape::batched(&[2, 6, 6])));
    let mut b = Builder::new(&mut graph, "net");
    let mut outputs = Vec::new();
    #[allow(clippy::cast_precision_loss)]
    let weight = |b: &mut Builder<'_>, shape: &[usize]| {
        let n = shape.iter().product::<usize>();
        b.constant(Tensor::f32(shape, (0..n).map(|i| 0.1 + i as f32 / n as f32).collect()))
    };
    let (w, bias) = (weight(&mut b, &[4, 1, 3, 2]), weight(&mut b, &[4]));
    let mut window = Window::new(&[3, 2]).strides(&[2, 1]);
    (window.dilations, window.pads_begin, window.pads_end) = (vec![1, 2], vec![1, 0], vec![2, 1]);
    let conv = b.apply(Conv { window, group: 2 }, &[x, w, bias]).unwrap();
    for function in UnaryFunction::ALL.into_iter().take(11) {
        outputs.push(b.unary(function, conv).unwrap());
    }
    for function in BinaryFunction::ALL.into_iter().take(12) {
        let other = weight(&mut b, &[1, 4, 1, 1]);
        outputs.push(b.binary(function, conv, other).unwrap());
    }
    let statistics: Vec<ValueId> = (0..4).map(|_| weight(&mut b, &[4])).collect();
    let inputs: Vec<ValueId> = [conv].into_iter().chain(statistics).collect();
    let epsilon = 1e-3;
    let normal =
        b.apply(heatlens_graph::op::batch_normalization::BatchNormalization { epsilon }, &inputs).unwrap();
    let mut one =
        |b: &mut Builder<'_>, op: &dyn Fn(&mut Builder<'_>, ValueId) -> ValueId| outputs.push(op(b, normal));
    let pool = Window::new(&[2, 2]).strides(&[2, 1]).pads(&[1, 0]);
    let (p, q) = (pool.clone(), pool);
    one(&mut b, &move |b, y| b.apply(MaxPool { window: p.clone(), ceil_mode: true }, &[y]).unwrap());
    one(&mut b, &move |b, y| {
        b.apply(AveragePool { window: q.clone(), ceil_mode: false, count_include_pad: true }, &[y]).unwrap()
    });
    one(&mut b, &|b, y| b.apply(GlobalPool(GlobalPoolFunction::Max), &[y]).unwrap());
    one(&mut b, &|b, y| b.apply(Clip { min: -0.5, max: f32::MAX }, &[y]).unwrap());
    one(&mut b, &|b, y| b.apply(Identity::Dropout, &[y]).unwrap());
    one(&mut b, &|b, y| b.apply(Cast { to: DType::I64 }, &[y]).unwrap());
    one(&mut b, &|b, y| b.apply(Concat { axis: -1 }, &[y, y]).unwrap());
    one(&mut b, &|b, y| b.apply(Softmax { axis: 1, log: true }, &[y]).unwrap());
    one(&mut b, &|b, y| b.apply(Transpose { perm: vec![0, 2, 3, 1] }, &[y]).unwrap());
    one(&mut b, &|b, y| b.apply(Slice { axis: 2, start: 1, len: 2, step: 1 }, &[y]).unwrap());
    one(&mut b, &|b, y| {
        let (begin, end) = (vec![0, 0, 1, 0], vec![0, 2, 0, 0]);
        b.apply(Pad { begin, end, value: -1.0 }, &[y]).unwrap()
    });
    for function in [ReduceFunction::Sum, ReduceFunction::Mean, ReduceFunction::Max, ReduceFunction::Min] {
        one(&mut b, &move |b, y| {
            b.apply(Reduce { function, axes: vec![-1, 1], keep_dims: false }, &[y]).unwrap()
        });
    }
    one(&mut b, &|b, y| {
        let mask = b.is_positive(y).unwrap();
        let zero = b.scalar(0.0);
        b.apply(Where, &[mask, y, zero]).unwrap()
    });
    let pooled = b.apply(GlobalPool(GlobalPoolFunction::Average), &[normal]).unwrap();
    let squeezed = b.apply(Squeeze { axes: vec![2, -1] }, &[pooled]).unwrap();
    let unsqueezed = b.apply(Unsqueeze { axes: vec![-1] }, &[squeezed]).unwrap();
    let reshaped =
        b.apply(Reshape { shape: Shape(vec![Dim::Batch(1), Dim::Fixed(2), Dim::Fixed(2)]) }, &[unsqueezed]);
    outputs.push(b.expand(pooled, Shape::batched(&[4, 3, 2])).unwrap());
    let flat = b.apply(Flatten { axis: 1 }, &[pooled]).unwrap();
    let (w, bias) = (weight(&mut b, &[3, 4]), weight(&mut b, &[3]));
    let gemm = Gemm { trans_b: true, alpha: 0.5, beta: 2.0, ..Gemm::default() };
    let dense = b.apply(gemm, &[flat, w, bias]).unwrap();
    let w = weight(&mut b, &[3, 2]);
    outputs.extend([reshaped.unwrap(), b.apply(MatMul, &[dense, w]).unwrap()]);
    let node = graph.producer(conv).unwrap();
    graph.set_node_metadata(node, BTreeMap::from([("scope".to_owned(), "['', 'features.0']".to_owned())]));
    graph.set_outputs(&outputs);
    graph
}

#[test]
fn writing_and_reading_is_the_identity() {
    let graph = everything();
    let file = onnx::write(&graph).unwrap();
    assert_eq!(file, onnx::write(&graph).unwrap(), "the same bytes each time");
    let opened = onnx::open(file.clone()).unwrap();
    assert_eq!(opened.warnings, Vec::<String>::new());
    assert_eq!(describe(&opened.graph), describe(&graph));
    assert_eq!(onnx::write(&opened.graph).unwrap(), file);
}

#[test]
fn operators_of_our_own_are_written_in_standard_ones_under_the_same_name() {
    let mut graph = Graph::new("gradient");
    let x = graph.add_input("x", Fact::f32(Shape::batched(&[3])));
    let slice = Slice { axis: 1, start: 2, len: 3, step: 1 };
    let mut b = Builder::new(&mut graph, "g");
    let y = b.apply(Unslice { slice, size: 7 }, &[x]).unwrap();
    let z = b.relu(y).unwrap();
    let name = graph.value(y).name.clone();
    graph.set_outputs(&[y, z]);
    let back = onnx::read(onnx::write(&graph).unwrap()).unwrap();
    assert_eq!(back.value(back.outputs()[0]).name, name);
    let feed = Tensor::f32(&[2, 3], vec![1.0, -2.0, 3.0, 4.0, 5.0, 6.0]);
    let run = |g: &Graph| reference::run(g, std::slice::from_ref(&feed), 2, g.outputs()).unwrap();
    assert_eq!(run(&back), run(&graph));
    assert!(back.nodes().iter().all(|n| n.op.onnx_form().standard));
}

#[test]
fn an_operator_without_a_standard_form_is_named() {
    let mut graph = Graph::new("gradient");
    let x = graph.add_input("x", Fact::f32(Shape::batched(&[1, 3])));
    let dy = graph.add_input("dy", Fact::f32(Shape::batched(&[2, 3])));
    let conv = Conv { window: Window::new(&[1]), group: 1 };
    let dw = Builder::new(&mut graph, "g").apply(ConvWeightGrad { conv }, &[x, dy]).unwrap();
    graph.set_outputs(&[dw]);
    let error = onnx::write(&graph).unwrap_err().to_string();
    assert!(error.contains("ConvWeightGrad"), "{error}");
    graph.set_outputs(&[x, x]);
    assert!(onnx::write(&graph).is_err());
}

#[test]
fn unknown_nodes_are_all_listed() {
    // Replaces the names of two operators and of an attribute with others of the same length.
    let file = replaced(&bytes("opset18"), &[(b"Softplus", b"Softplux"), (b"Reciprocal", b"Reciprocat")]);
    let Err(OnnxError::Nodes(nodes)) = onnx::open(file) else { panic!("expected a list of nodes") };
    let found: Vec<_> = nodes.iter().map(|n| (n.node.as_str(), n.op.as_str(), n.opset)).collect();
    assert_eq!(found, [("softplus_5", "Softplux", 18), ("reciprocal_9", "Reciprocat", 18)]);
    let file = replaced(&bytes("opset9"), &[(b"momentum", b"momentux")]);
    let error = onnx::open(file).unwrap_err().to_string();
    assert!(
        error.contains("BatchNormalization") && error.contains("\"momentux\" is not supported"),
        "{error}"
    );
}

fn replaced(file: &[u8], pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut file = file.to_vec();
    for (from, to) in pairs {
        let mut count = 0;
        while let Some(at) = file.windows(from.len()).position(|w| w == *from) {
            file[at..at + from.len()].copy_from_slice(to);
            count += 1;
        }
        assert!(count > 0, "{from:?} is not in the file");
    }
    file
}

#[test]
fn files_of_other_kinds_are_called_by_their_name() {
    for (bytes, kind) in [
        (b"".to_vec(), "an empty file"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), "a PNG image"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0".to_vec(), "an HDF5 file"),
        (b"layer,weight\nconv,1.0\n".to_vec(), "a text file"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "a Git LFS pointer"),
    ] {
        let error = onnx::open(bytes).unwrap_err();
        assert!(matches!(error, OnnxError::NotOnnx { .. }), "{error}");
        assert!(error.to_string().contains(kind), "{error}");
    }
    assert!(matches!(onnx::open_file(Path::new("/no/such/model.onnx")), Err(OnnxError::Io(_))));
}

#[test]
fn every_truncation_is_an_error() {
    let file = bytes("opset9");
    let whole = describe(&onnx::read(file.clone()).unwrap());
    for len in 0..file.len() {
        // Truncation at a field boundary after the graph removes metadata, but not the network.
        if let Ok(graph) = onnx::read(file[..len].to_vec()) {
            assert_eq!(describe(&graph).nodes, whole.nodes, "cut to {len} of {} bytes", file.len());
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = onnx::open(bytes);
    }

    #[test]
    fn bit_flips_never_panic(sample in 0..SAMPLES.len(), flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..6)) {
        let mut file = bytes(SAMPLES[sample]);
        for (at, bit) in flips {
            let at = at.index(file.len());
            file[at] ^= 1 << bit;
        }
        if let Ok(graph) = onnx::read(file) {
            // A graph that can be read can be written, or gives an error.
            let _ = onnx::write(&graph);
        }
    }
}

#[test]
fn a_constant_may_be_an_output() {
    let mut graph = Graph::new("constant");
    let x = graph.add_input("x", Fact::f32(Shape::batched(&[1])));
    let y = graph.add_node("y", Arc::new(Binary(BinaryFunction::Add)), &[Some(x), Some(x)]).unwrap();
    let c = graph.add_constant("c", Tensor::scalar(2.0));
    let y = graph.node(y).outputs[0];
    graph.set_outputs(&[y, c]);
    let back = onnx::read(onnx::write(&graph).unwrap()).unwrap();
    assert_eq!(back.constant(back.outputs()[1]).unwrap().as_f32(), Some([2.0].as_slice()));
}
