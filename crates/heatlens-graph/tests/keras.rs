//! Tests that Keras files of every version give the same results as in Keras.
//!
//! The samples are created by `tools/golden/make_keras_samples.py`, each with the results of Keras.

#![cfg(feature = "keras")]
#![allow(clippy::unwrap_used, clippy::panic)] // test helpers

mod keras_common;

use std::io::{Cursor, Read};

use heatlens_graph::keras::{self, KerasError, KerasOptions};
use heatlens_graph::{Graph, Tensor, reference};
use keras_common::{archive, bytes, folder, refusal};
use serde_json::Value;

fn graph(name: &str) -> Graph {
    match keras::open_file(&folder().join(name)) {
        Ok(opened) => opened.graph,
        Err(error) => panic!("{name}: {error}"),
    }
}

#[allow(clippy::cast_possible_truncation)]
fn tensors(sidecar: &Value, key: &str) -> Vec<Tensor> {
    let read = |value: &Value| {
        let list = |key: &str| value[key].as_array().unwrap().clone();
        let shape: Vec<usize> = list("shape").iter().map(|v| v.as_u64().unwrap() as usize).collect();
        Tensor::f32(&shape, list("values").iter().map(|v| v.as_f64().unwrap() as f32).collect())
    };
    sidecar[key].as_array().unwrap().iter().map(read).collect()
}

/// |found − expected| ÷ |expected|.
fn relative_error(found: &Tensor, expected: &Tensor) -> f64 {
    let (found, expected) = (found.to_f64(), expected.to_f64());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(&expected).map(|(f, e)| f - e));
    difference / norm(&mut expected.iter().copied()).max(1e-12)
}

fn check(name: &str, graph: &Graph) {
    let stem = name.split('.').next().unwrap();
    let sidecar: Value = serde_json::from_slice(&bytes(&format!("{stem}.json"))).unwrap();
    let (feeds, expected) = (tensors(&sidecar, "inputs"), tensors(&sidecar, "outputs"));
    let found = reference::run(graph, &feeds, feeds[0].shape()[0], graph.outputs()).unwrap();
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.shape(), expected.shape(), "{name}");
        let error = relative_error(found, expected);
        assert!(error < 1e-5, "{name}: relative error {error}");
    }
}

#[test]
fn every_sample_computes_what_keras_computes() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".keras") || name.ends_with(".h5"))
        .collect();
    names.sort();
    assert!(names.len() > 30, "{names:?}");
    let mut wrong = Vec::new();
    for name in names {
        let outcome = std::panic::catch_unwind(|| check(&name, &graph(&name)));
        if outcome.is_err() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[cfg(feature = "onnx")]
#[test]
fn what_was_read_can_be_written_as_onnx() {
    use heatlens_graph::onnx;
    for name in [
        "activations.keras",
        "attention.keras",
        "branches.keras",
        "convs.keras",
        "flatten.keras",
        "norms.keras",
        "shapes.keras",
    ] {
        let written = onnx::write(&graph(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        check(name, &onnx::read(written).unwrap());
    }
}

#[test]
fn values_are_called_as_the_layers_they_leave() {
    let graph = graph("branches.keras");
    for name in [
        "picture",
        "block/inner_conv",
        "block/inner_relu",
        "block_1/inner_relu",
        "shared",
        "shared_1",
        "concatenate_1",
        "pool",
        "tower/relu",
        "kind",
        "kind/Gemm",
    ] {
        assert!(graph.find(name).is_some(), "{name}");
    }
    let stored = |name: &str| graph.values().iter().filter(|v| v.name.starts_with(name)).count();
    assert_eq!(stored("block/inner_conv/kernel"), 1, "shared layers store their arrays once");
    assert_eq!(stored("block_1/inner_conv/kernel"), 0);
    let output = graph.value(graph.outputs()[0]);
    assert_eq!(output.name, "kind");
    assert_eq!(graph.fact(graph.inputs()[0]).shape.to_string(), "N×3×6×6");
    assert_eq!(graph.fact(graph.find("block/inner_conv").unwrap()).shape.to_string(), "N×3×6×6");
}

/// Returns a sample with changes to its description.
fn altered(name: &str, changes: &[(&str, &str)]) -> Vec<u8> {
    let mut old = zip::ZipArchive::new(Cursor::new(bytes(name))).unwrap();
    let mut files = Vec::new();
    for i in 0..old.len() {
        let mut file = old.by_index(i).unwrap();
        let (mut content, name) = (Vec::new(), file.name().unwrap().to_string());
        file.read_to_end(&mut content).unwrap();
        if name == "config.json" {
            let mut text = String::from_utf8(content).unwrap();
            for (from, to) in changes {
                assert!(text.contains(from), "{from}");
                text = text.replace(from, to);
            }
            content = text.into_bytes();
        }
        files.push((name, content));
    }
    archive(&files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect::<Vec<_>>())
}

#[test]
fn unknown_layers_are_refused_all_at_once() {
    let changes =
        [("\"Subtract\"", "\"Frobnicate\""), ("\"Maximum\"", "\"Lambda\""), ("\"ReLU\"", "\"Package>Mine\"")];
    let error = refusal(&altered("branches.keras", &changes));
    assert!(error.starts_with("4 layers cannot be read"), "{error}");
    for part in [
        "Frobnicate: this layer is not supported; \"subtract\"",
        "Lambda (it holds Python code",
        "Mine: this layer is not supported; \"block/inner_relu\", \"tower/relu\"",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn unknown_settings_are_refused_all_at_once() {
    let changes =
        [("\"keepdims\": false", "\"twist\": 3"), ("\"activation\": \"relu\"", "\"activation\": \"relo\"")];
    let error = refusal(&altered("branches.keras", &changes));
    assert!(
        error.contains("GlobalAveragePooling2D: setting \"twist\" (3) is not supported; \"pool\""),
        "{error}"
    );
    assert!(error.contains("Dense: activation \"relo\" is not supported; \"dense\""), "{error}");
}

#[test]
fn descriptions_that_do_not_fit_are_refused() {
    for (name, from, to, expected) in [
        (
            "flatten.keras",
            "\"filters\": 4",
            "\"filters\": 5",
            "expected kernel of shape [3, 3, 3, 5], found [3, 3, 3, 4]",
        ),
        (
            "flatten.keras",
            "\"use_bias\": true",
            "\"use_bias\": false",
            "the file has 2 arrays for it, 1 are used",
        ),
        ("flatten.keras", "\"use_bias\": false", "\"use_bias\": true", "its bias is missing from the file"),
        ("flatten.keras", "\"tanh\"", "\"tanhh\"", "activation \"tanhh\" is not supported"),
        ("flatten.keras", "[null, 9, 7, 3]", "[null, 9, 7, 4]", "expected kernel of shape [3, 3, 4, 4]"),
        ("flatten.keras", "[null, 9, 7, 3]", "[null, 9, 16777217, 3]", "expected a size"),
        (
            "flatten.keras",
            "\"class_name\": \"Sequential\"",
            "\"class_name\": \"MyModel\"",
            "it holds a MyModel",
        ),
        ("branches.keras", "[\"shared\", 0, 0]", "[\"add\", 0, 0]", "\"add\" depends on itself"),
        ("branches.keras", "[\"shared\", 0, 0]", "[\"shared\", 9, 0]", "call 9 of layer \"shared\""),
        (
            "branches.keras",
            "[\"shared\", 0, 0]",
            "[\"nobody\", 0, 0]",
            "\"nobody\" is used but not described",
        ),
        ("branches.keras", "[\"both\", 0, 0]", "[\"both\", 0, 1]", "output 1 of layer \"both\""),
        ("branches.keras", "\"name\": \"quality\"", "\"name\": \"kind\"", "two layers are called \"kind\""),
        (
            "operations.keras",
            "\"name\": \"sum\", \"axis\": -1",
            "\"name\": \"sum\", \"axis\": [-1, -1, -1, -1, -1]",
            "a reduction over axes",
        ),
        ("attention.keras", "\"attention_axes\": [1]", "\"attention_axes\": [2]", "attention_axes"),
        ("convs.keras", "\"interpolation\": \"bilinear\"", "\"interpolation\": \"lanczos3\"", "lanczos3"),
        ("shapes.keras", "\"target_shape\": [15, 2]", "\"target_shape\": [15, 3]", "30 elements as [15, 3]"),
    ] {
        let error = refusal(&altered(name, &[(from, to)]));
        assert!(error.contains(expected), "expected {expected}, found {error}");
    }
}

#[test]
fn a_size_that_is_left_open_is_asked_for() {
    let bytes = altered("flatten.keras", &[("[null, 9, 7, 3]", "[null, null, null, 3]")]);
    let error = keras::open(&bytes, &KerasOptions::default()).unwrap_err();
    assert!(matches!(error, KerasError::OpenSize { .. }), "{error}");
    assert!(error.to_string().contains("keras.Input("), "{error}");
    let opened = keras::open(&bytes, &KerasOptions { input_size: Some([9, 7]) }).unwrap();
    check("flatten.keras", &opened.graph);
}

#[test]
fn half_precision_is_noted() {
    let bytes = altered("flatten.keras", &[("{\"name\": \"float32\"}", "{\"name\": \"mixed_float16\"}")]);
    let opened = keras::open(&bytes, &KerasOptions::default()).unwrap();
    assert_eq!(opened.warnings, ["half precision is computed in single precision"]);
}

#[test]
fn weights_alone_are_refused_with_the_way_out() {
    for name in ["refused/only.weights.h5", "refused/only_legacy.h5"] {
        let error = refusal(&bytes(name));
        assert!(error.contains("weights without a model") && error.contains("load_weights"), "{error}");
    }
}

#[test]
fn other_files_are_named() {
    assert!(refusal(b"").contains("an empty file"));
    assert!(refusal(b"PK\x03\x04archive/data.pkl").contains("torch.onnx.export"));
    assert!(refusal(&[8, 7, 18, 3]).contains("something else"));
}
