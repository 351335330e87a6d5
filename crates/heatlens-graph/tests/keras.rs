//! Keras files of every version compute what Keras computes, and do no harm when they are damaged.
//!
//! The samples are made by `tools/golden/make_keras_samples.py`; beside each stands what Keras computed.

#![cfg(feature = "keras")]
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use heatlens_graph::keras::{self, KerasError, OpenOptions};
use heatlens_graph::{Graph, Tensor, reference};
use proptest::prelude::*;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keras")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

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

/// A sample with its description changed.
fn altered(name: &str, changes: &[(&str, &str)]) -> Vec<u8> {
    let mut old = zip::ZipArchive::new(Cursor::new(bytes(name))).unwrap();
    let mut new = zip::ZipWriter::new(Cursor::new(Vec::new()));
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
        new.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        new.write_all(&content).unwrap();
    }
    new.finish().unwrap().into_inner()
}

fn refusal(bytes: &[u8]) -> String {
    match keras::open(bytes, &OpenOptions::default()) {
        Ok(_) => panic!("expected a refusal"),
        Err(error) => error.to_string(),
    }
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
        ("flatten.keras", "\"use_bias\": false", "\"use_bias\": true", "its bias is not in the file"),
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
    let error = keras::open(&bytes, &OpenOptions::default()).unwrap_err();
    assert!(matches!(error, KerasError::OpenSize { .. }), "{error}");
    assert!(error.to_string().contains("keras.Input("), "{error}");
    let opened = keras::open(&bytes, &OpenOptions { input_size: Some([9, 7]) }).unwrap();
    check("flatten.keras", &opened.graph);
}

#[test]
fn half_precision_is_noted() {
    let bytes = altered("flatten.keras", &[("{\"name\": \"float32\"}", "{\"name\": \"mixed_float16\"}")]);
    let opened = keras::open(&bytes, &OpenOptions::default()).unwrap();
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

/// An archive with one more file than a model has, or another one in its place.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut new = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        new.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        new.write_all(content).unwrap();
    }
    new.finish().unwrap().into_inner()
}

#[test]
fn bombs_are_refused_by_what_they_announce_and_by_what_they_hold() {
    let zeros = vec![b' '; (64 << 20) + 1];
    let about: &[u8] = b"{}";
    let bomb = archive(&[("config.json", &zeros), ("metadata.json", about), ("model.weights.h5", about)]);
    assert!(bomb.len() < 1 << 20);
    assert!(refusal(&bomb).contains("config.json takes 67108865 bytes or more, expected at most 67108864"));

    // The directory announces fewer bytes than the file holds.
    let mut liar =
        archive(&[("config.json", &[b' '; 5000]), ("metadata.json", about), ("model.weights.h5", about)]);
    let directory = liar.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    liar[directory + 24..directory + 28].copy_from_slice(&100u32.to_le_bytes());
    let error = refusal(&liar);
    assert!(error.contains("config.json announces 100 bytes") || error.contains("damaged"), "{error}");

    // An array larger than anything deflated to the size of its file could be.
    let mut file = bytes("keras1.h5");
    let shape = [3u64, 2, 3, 4].map(u64::to_le_bytes).concat();
    let at = file.windows(shape.len()).position(|w| w == shape).unwrap();
    file[at..at + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let error = refusal(&file);
    assert!(error.contains("bytes or more, expected at most") || error.contains("damaged"), "{error}");
}

#[test]
fn models_that_double_at_every_level_are_refused() {
    let input = r#"{"class_name": "InputLayer", "config": {"name": "i", "batch_shape": [null, 2]}, "name": "i", "inbound_nodes": []}"#;
    let mut inner =
        r#"{"class_name": "Activation", "config": {"name": "m", "activation": "relu"}, "name": "m""#
            .to_owned();
    let call = |source: &str| format!(r#"[["{source}", 0, 0, {{}}]]"#);
    for _ in 0..20 {
        let twice = format!(r#"{inner}, "inbound_nodes": [{}, {}]}}"#, call("i"), call("m"));
        let config = format!(
            r#"{{"name": "m", "layers": [{input}, {twice}], "input_layers": [["i", 0, 0]], "output_layers": [["m", 1, 0]]}}"#
        );
        inner = format!(r#"{{"class_name": "Functional", "config": {config}, "name": "m""#);
    }
    let config = format!("{inner}}}");
    let mut old = zip::ZipArchive::new(Cursor::new(bytes("flatten.keras"))).unwrap();
    let mut weights = Vec::new();
    old.by_name("model.weights.h5").unwrap().read_to_end(&mut weights).unwrap();
    let about: &[u8] = br#"{"keras_version": "2.15.0"}"#;
    let file = archive(&[
        ("config.json", config.as_bytes()),
        ("metadata.json", about),
        ("model.weights.h5", &weights),
    ]);
    let error = refusal(&file);
    assert!(error.contains("layers and calls of layers"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_do_no_harm(
        name in prop::sample::select(vec!["flatten.keras", "branches.keras", "keras1.h5", "flatten_legacy.h5", "attention.h5"]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = bytes(name);
        for (at, value) in flips {
            let at = at.index(file.len());
            file[at] = value;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let _ = keras::open(&file, &OpenOptions::default());
    }

    #[test]
    fn damaged_descriptions_do_no_harm(
        name in prop::sample::select(vec!["flatten.keras", "branches.keras", "convs.keras", "shapes.keras", "operations.keras"]),
        numbers in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![
            "0", "-1", "1", "7", "16777216", "4294967296", "9223372036854775807", "1e300", "null", "[]", "\"same\"", "{}",
        ])), 1..6),
    ) {
        let mut old = zip::ZipArchive::new(Cursor::new(bytes(name))).unwrap();
        let mut read = |name: &str| {
            let mut content = Vec::new();
            old.by_name(name).unwrap().read_to_end(&mut content).unwrap();
            content
        };
        let mut text = String::from_utf8(read("config.json")).unwrap();
        for (at, value) in numbers {
            // Some number of the description becomes another.
            let starts: Vec<usize> = text
                .char_indices()
                .zip(text.chars().skip(1))
                .filter(|((_, c), next)| matches!(c, ' ' | '[') && next.is_ascii_digit())
                .map(|((i, c), _)| i + c.len_utf8())
                .collect();
            if starts.is_empty() {
                continue;
            }
            let start = starts[at.index(starts.len())];
            let end = start + text[start..].find([',', ']', '}']).unwrap();
            text.replace_range(start..end, value);
        }
        let file = archive(&[
            ("config.json", text.as_bytes()),
            ("metadata.json", &read("metadata.json")),
            ("model.weights.h5", &read("model.weights.h5")),
        ]);
        let _ = keras::open(&file, &OpenOptions::default());
    }
}
