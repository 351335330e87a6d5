//! Tests that gradients expressed in standard operators give the same results, here and in onnxruntime.
//!
//! The second part needs a Python with `numpy` and `onnxruntime`: the one in `HEATLENS_PYTHON`, or `python3`. Without
//! one, the test prints a note and passes; if `HEATLENS_PYTHON` names one without these packages, it fails.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::op::Operator;
use crate::op::conv::Conv;
use crate::op::max_unpool::MaxUnpool;
use crate::op::pool::{AveragePool, MaxPool};
use crate::op::pool_grad::MaxPoolSelect;
use crate::op::reduce::{Reduce, ReduceFunction};
use crate::op::slice::Slice;
use crate::op::window::Window;
use crate::{DefaultRules, Fact, Shape, differentiate, reference};

/// A named graph to compare.
struct Case {
    name: String,
    graph: Graph,
}

/// Gradient of `op` with respect to its first input; the seed is an input as well.
fn gradient(name: &str, op: impl Operator, inputs: &[Shape]) -> Case {
    let mut graph = Graph::new(name);
    let add = |(i, shape): (usize, &Shape)| graph.add_input(&format!("x{i}"), Fact::f32(shape.clone()));
    let x: Vec<ValueId> = inputs.iter().enumerate().map(add).collect();
    let y = Builder::new(&mut graph, "f").apply(op, &x).unwrap();
    let seed = graph.add_input("seed", graph.fact(y).clone());
    let dx = differentiate(&mut graph, "d", y, seed, &x[..1], &DefaultRules).unwrap();
    graph.set_outputs(&dx);
    let simple = crate::rewrite::simplify(&graph, &dx).unwrap().graph;
    Case { name: name.to_owned(), graph: simple }
}

fn windows() -> Vec<(&'static str, Window, Vec<usize>)> {
    let same = Window::new(&[3, 3]).pads(&[1, 1]);
    let asymmetric =
        Window { pads_begin: vec![0, 1], pads_end: vec![1, 1], ..Window::new(&[3, 2]).strides(&[2, 3]) };
    let dilated = Window { dilations: vec![2, 1], ..Window::new(&[2, 3]).pads(&[1, 0]).strides(&[1, 2]) };
    vec![
        ("overlapping", same.clone().strides(&[2, 2]), vec![7, 8]),
        ("dense", same, vec![5, 5]),
        ("gaps", Window::new(&[2, 2]).strides(&[3, 3]), vec![7, 8]),
        ("asymmetric", asymmetric, vec![6, 9]),
        ("dilated", dilated, vec![7, 6]),
        ("line", Window::new(&[3]).strides(&[2]).pads(&[1]), vec![8]),
    ]
}

fn batched(channels: usize, spatial: &[usize]) -> Shape {
    Shape::batched(&[&[channels], spatial].concat())
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, window, input) in windows() {
        for group in [1, 2] {
            let w = Shape::fixed(&[&[6, 4 / group], window.kernel.as_slice()].concat());
            let conv = Conv { window: window.clone(), group };
            cases.push(gradient(&format!("conv_{what}_{group}"), conv, &[batched(4, &input), w]));
        }
        for ceil_mode in [false, true] {
            let max = MaxPool { window: window.clone(), ceil_mode };
            cases.push(gradient(&format!("max_{what}_{ceil_mode}"), max.clone(), &[batched(3, &input)]));
            if !window.overlaps() {
                cases.push(unpooling(&format!("unpool_{what}_{ceil_mode}"), &max, &batched(3, &input)));
            }
            cases.push(selection(&format!("select_{what}_{ceil_mode}"), max, &batched(3, &input)));
            for count_include_pad in [false, true] {
                // Dilated average pooling is standard only since operator set 19.
                let average = AveragePool { window: window.clone(), ceil_mode, count_include_pad };
                let name = format!("average_{what}_{ceil_mode}_{count_include_pad}");
                cases.push(gradient(&name, average, &[batched(3, &input)]));
            }
        }
    }
    for (start, len, step) in [(0, 3, 1), (1, 3, 2), (2, 2, 3), (0, 4, 2), (5, 1, 9), (3, 0, 2)] {
        let slice = Slice { axis: 2, start, len, step };
        cases.push(gradient(&format!("slice_{start}_{len}_{step}"), slice, &[batched(2, &[7, 3])]));
    }
    for function in [ReduceFunction::Sum, ReduceFunction::Mean, ReduceFunction::Max, ReduceFunction::Min] {
        let reduce = Reduce { function, axes: vec![2, 3], keep_dims: false };
        cases.push(gradient(&format!("{function:?}"), reduce, &[batched(3, &[4, 5])]));
    }
    cases.push(seed_for_every_sample());
    cases
}

fn selection(name: &str, pool: MaxPool, shape: &Shape) -> Case {
    let mut graph = Graph::new(name);
    let x = graph.add_input("x", Fact::f32(shape.clone()));
    let v = graph.add_input("v", Fact::f32(shape.clone()));
    let y = Builder::new(&mut graph, "f").apply(MaxPoolSelect { pool }, &[x, v]).unwrap();
    graph.set_outputs(&[y]);
    Case { name: name.to_owned(), graph }
}

/// Doubled maxima, back at their positions.
fn unpooling(name: &str, pool: &MaxPool, shape: &Shape) -> Case {
    let mut graph = Graph::new(name);
    let x = graph.add_input("x", Fact::f32(shape.clone()));
    let mut b = Builder::new(&mut graph, "f");
    let pooled = b.apply(pool.clone(), &[x]).unwrap();
    let values = b.scale(pooled, 2.0).unwrap();
    let y = b.apply(MaxUnpool { pool: pool.clone() }, &[x, values]).unwrap();
    graph.set_outputs(&[y]);
    Case { name: name.to_owned(), graph }
}

/// A constant that is repeated for every sample.
fn seed_for_every_sample() -> Case {
    let mut graph = Graph::new("expand");
    let x = graph.add_input("x", Fact::f32(Shape::batched(&[3])));
    let mut b = Builder::new(&mut graph, "f");
    let row = b.constant(Tensor::f32(&[1, 3], vec![1.0, 2.0, 3.0]));
    let rows = b.expand(row, Shape(vec![Dim::Batch(2), Dim::Fixed(3)])).unwrap();
    let wide = b.reshape(x, Shape(vec![Dim::Batch(1), Dim::Fixed(1), Dim::Fixed(3)])).unwrap();
    let wide = b.expand(wide, Shape(vec![Dim::Batch(1), Dim::Fixed(2), Dim::Fixed(3)])).unwrap();
    let flat = b.reshape(wide, Shape(vec![Dim::Batch(2), Dim::Fixed(3)])).unwrap();
    let y = b.mul(rows, flat).unwrap();
    graph.set_outputs(&[y]);
    Case { name: "expand".to_owned(), graph }
}

/// Inputs with few distinct values, so that windows have ties.
fn feeds(graph: &Graph, n: usize) -> Vec<Tensor> {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u8::try_from(state >> 29).unwrap()) / 4.0 - 1.0
    };
    let feed = |&x: &ValueId| {
        let shape = graph.fact(x).shape.at(n);
        let len = shape.iter().product();
        Tensor::f32(&shape, (0..len).map(|_| next()).collect())
    };
    graph.inputs().iter().map(feed).collect()
}

fn run(graph: &Graph, n: usize) -> Vec<f64> {
    let results = reference::run(graph, &feeds(graph, n), n, graph.outputs()).unwrap();
    results.iter().flat_map(Tensor::to_f64).collect()
}

#[test]
fn the_standard_form_computes_the_same() {
    for case in cases() {
        let lowered = lowered(&case.graph).unwrap();
        let standard = lowered.as_ref().unwrap_or(&case.graph);
        assert!(standard.nodes().iter().all(|n| !is_internal(standard, n)), "{}", case.name);
        for n in [1, 3] {
            let (expected, found) = (run(&case.graph, n), run(standard, n));
            assert_eq!(expected.len(), found.len(), "{}", case.name);
            let close = expected.iter().zip(&found).all(|(e, f)| (e - f).abs() <= 1e-6 * e.abs().max(1.0));
            assert!(close, "{}: {expected:?} {found:?}", case.name);
        }
    }
}

#[test]
fn a_pooling_that_was_written_is_read_again() {
    let pooling = |case: &Case| ["max_", "unpool_", "select_"].iter().any(|what| case.name.starts_with(what));
    let mut read = 0;
    for case in cases().into_iter().filter(pooling) {
        let again = crate::onnx::read(crate::onnx::write(&case.graph).unwrap());
        let again = again.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        for n in [1, 3] {
            assert_eq!(run(&case.graph, n), run(&again, n), "{}", case.name);
        }
        read += 1;
    }
    assert!(read > 20, "{read} cases");
}

/// Returns a Python with the required packages, if there is one.
fn python() -> Option<OsString> {
    let named = std::env::var_os("HEATLENS_PYTHON");
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let check = Command::new(&python).args(["-c", "import numpy, onnxruntime"]).output();
    let works = check.is_ok_and(|output| output.status.success());
    assert!(works || named.is_none(), "HEATLENS_PYTHON={python:?} has no numpy and onnxruntime");
    works.then_some(python)
}

/// Writes an array as `.npy`, version 1.
fn save(path: &Path, shape: &[usize], values: &[f32]) {
    let sizes = shape.iter().fold(String::new(), |mut text, d| {
        let _ = write!(text, "{d},");
        text
    });
    let header = format!("{{'descr':'<f4','fortran_order':False,'shape':({sizes})}}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

#[test]
fn onnxruntime_computes_the_same() {
    let Some(python) = python() else {
        // Written to stderr directly, because the test harness hides the output of passing tests.
        let note = "no Python with numpy and onnxruntime; name one by HEATLENS_PYTHON";
        assert!(
            std::env::var_os("HEATLENS_REQUIRE_ALL").is_none(),
            "HEATLENS_REQUIRE_ALL is set, but {note}"
        );
        let _ = writeln!(std::io::stderr(), "SKIPPED: {note}");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for case in cases() {
        for n in [1, 3] {
            let path = folder.path().join(format!("{}_{n}", case.name));
            fs::create_dir(&path).unwrap();
            fs::write(path.join("model.onnx"), crate::onnx::write(&case.graph).unwrap()).unwrap();
            for (i, feed) in feeds(&case.graph, n).iter().enumerate() {
                save(&path.join(format!("input_{i}.npy")), feed.shape(), feed.as_f32().unwrap());
            }
            let feeds = feeds(&case.graph, n);
            let results = reference::run(&case.graph, &feeds, n, case.graph.outputs()).unwrap();
            for (i, result) in results.iter().enumerate() {
                #[allow(clippy::cast_possible_truncation)]
                let values: Vec<f32> = result.to_f64().into_iter().map(|v| v as f32).collect();
                save(&path.join(format!("output_{i}.npy")), result.shape(), &values);
            }
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/onnxruntime_cases.py");
    let output = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("{} cases", 2 * cases().len())), "{said}");
}
