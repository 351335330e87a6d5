//! Tests that damaged or malicious Keras files end in an error early and at low cost.

#![cfg(feature = "keras")]
#![allow(clippy::unwrap_used, clippy::panic)] // test helpers

mod keras_common;

use std::io::{Cursor, Read};
use std::sync::mpsc;
use std::time::Duration;

use heatlens_graph::keras::{self, KerasOptions};
use keras_common::{archive, bytes, refusal};
use proptest::prelude::*;

#[test]
fn bombs_are_refused_by_what_they_announce_and_by_what_they_hold() {
    let zeros = vec![b' '; (16 << 20) + 1];
    let about: &[u8] = b"{}";
    let bomb = archive(&[("config.json", &zeros), ("metadata.json", about), ("model.weights.h5", about)]);
    assert!(bomb.len() < 1 << 20);
    assert!(refusal(&bomb).contains("config.json takes 16777217 bytes or more, expected at most 16777216"));

    // The directory declares fewer bytes than the file has.
    let mut liar =
        archive(&[("config.json", &[b' '; 5000]), ("metadata.json", about), ("model.weights.h5", about)]);
    let directory = liar.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    liar[directory + 24..directory + 28].copy_from_slice(&100u32.to_le_bytes());
    let error = refusal(&liar);
    assert!(error.contains("config.json announces 100 bytes") || error.contains("damaged"), "{error}");

    // An array larger than could be deflated to the size of its file.
    let mut file = bytes("keras1.h5");
    let shape = [3u64, 2, 3, 4].map(u64::to_le_bytes).concat();
    let at = file.windows(shape.len()).position(|w| w == shape).unwrap();
    file[at..at + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let error = refusal(&file);
    assert!(error.contains("bytes or more, expected at most") || error.contains("damaged"), "{error}");
}

/// Returns an archive with the given description and existing weights.
fn described(config: &str) -> Vec<u8> {
    let mut old = zip::ZipArchive::new(Cursor::new(bytes("flatten.keras"))).unwrap();
    let mut weights = Vec::new();
    old.by_name("model.weights.h5").unwrap().read_to_end(&mut weights).unwrap();
    let about: &[u8] = br#"{"keras_version": "2.15.0"}"#;
    archive(&[("config.json", config.as_bytes()), ("metadata.json", about), ("model.weights.h5", &weights)])
}

const INPUT: &str = r#"{"class_name": "InputLayer", "config": {"name": "i", "batch_shape": [null, 2]}, "name": "i", "inbound_nodes": []}"#;

/// Returns a model with the given layers and input `i`.
fn functional(layers: &str, output: &str) -> String {
    format!(
        r#"{{"class_name": "Functional", "name": "m", "config": {{"name": "m", "layers": [{INPUT}, {layers}], "input_layers": [["i", 0, 0]], "output_layers": [{output}]}}"#
    )
}

/// Returns a layer with one list of inputs per call.
fn layer(class: &str, name: &str, settings: &str, calls: &[String]) -> String {
    let calls = calls.join(", ");
    format!(
        r#"{{"class_name": "{class}", "name": "{name}", "config": {{"name": "{name}"{settings}}}, "inbound_nodes": [{calls}]}}"#
    )
}

#[test]
fn models_that_double_at_every_level_are_refused() {
    let mut inner =
        r#"{"class_name": "Activation", "config": {"name": "m", "activation": "relu"}, "name": "m""#
            .to_owned();
    let call = |source: &str| format!(r#"[["{source}", 0, 0, {{}}]]"#);
    for _ in 0..20 {
        let twice = format!(r#"{inner}, "inbound_nodes": [{}, {}]}}"#, call("i"), call("m"));
        inner = functional(&twice, r#"["m", 1, 0]"#);
    }
    let error = refusal(&described(&format!("{inner}}}")));
    assert!(error.contains("layers and calls of layers"), "{error}");
}

#[test]
fn what_unfolds_a_thousandfold_is_refused() {
    let sample = bytes("flatten.keras");
    let mut old = zip::ZipArchive::new(Cursor::new(sample)).unwrap();
    let mut config = Vec::new();
    old.by_name("config.json").unwrap().read_to_end(&mut config).unwrap();
    let zeros = vec![0; 80 << 20];
    let error = refusal(&archive(&[
        ("config.json", &config),
        ("metadata.json", b"{}"),
        ("model.weights.h5", &zeros),
    ]));
    assert!(error.contains("model.weights.h5, packed into"), "{error}");

    // A tree node with eleven slots for each object of eight characters.
    let objects = format!("[{}0]", r#"{"":0},"#.repeat(1 << 20));
    let error = refusal(&described(&objects));
    assert!(error.contains("its description in memory takes"), "{error}");
}

#[test]
fn a_text_that_many_references_share_is_refused() {
    let error = refusal(&bytes("refused/many_texts.h5"));
    assert!(error.contains("the text in the attributes of a group takes 80"), "{error}");
}

#[test]
fn a_file_that_was_cut_off_never_passes_for_a_whole_one() {
    for name in ["flatten.keras", "flatten.h5", "flatten.packed.h5", "keras1.h5"] {
        let whole = bytes(name);
        for share in 1..100 {
            let error = refusal(&whole[..whole.len() * share / 100]);
            assert!(error.contains("cut off"), "{name}: {error}");
        }
    }
}

#[test]
fn chunks_much_larger_than_their_array_are_refused() {
    let mut file = bytes("keras1.h5");
    let chunk = [3u32, 2, 3, 4, 4].map(u32::to_le_bytes).concat();
    let at = file.windows(chunk.len()).position(|w| w == chunk).unwrap();
    file[at..at + 4].copy_from_slice(&(1u32 << 20).to_le_bytes());
    let error = refusal(&file);
    assert!(error.contains("with the edges of its chunks takes"), "{error}");
}

#[test]
fn long_models_that_are_called_often_are_refused() {
    let numbers = format!("[{}0]", "0,".repeat(1 << 20));
    let call = format!(r#"[["i", 0, 0, {{"x": {numbers}}}]]"#);
    let inner = functional(&layer("Activation", "a", r#", "activation": "relu""#, &[call]), r#"["a", 0, 0]"#);
    let again = |n: usize| format!(r#"[["m", {n}, 0, {{}}]]"#);
    let calls: Vec<String> =
        std::iter::once(r#"[["i", 0, 0, {}]]"#.to_owned()).chain((0..1000).map(again)).collect();
    let nested = format!(r#"{inner}, "inbound_nodes": [{}]}}"#, calls.join(", "));
    let error = refusal(&described(&format!("{}}}", functional(&nested, r#"["m", 1000, 0]"#))));
    assert!(error.contains("reading layers and names as often as they are used"), "{error}");
}

#[test]
fn a_layer_that_waits_for_many_others_looks_at_each_once() {
    const COUNT: usize = 30_000;
    let call = [r#"[["i", 0, 0, {}]]"#.to_owned()];
    let each = |n| layer("Activation", &format!("l{n}"), r#", "activation": "relu""#, &call);
    let all: Vec<String> = (0..COUNT).map(|n| format!(r#"["l{n}", 0, 0, {{}}]"#)).collect();
    let sum = layer("Add", "sum", "", &[format!("[{}]", all.join(", "))]);
    let layers: Vec<String> = std::iter::once(sum).chain((0..COUNT).map(each)).collect();
    let file = described(&format!("{}}}", functional(&layers.join(", "), r#"["sum", 0, 0]"#)));
    // With a linear search per lookup, this took minutes.
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let opened = keras::open(&file, &KerasOptions::default()).map(|opened| opened.graph);
        tell.send(opened.map_err(|error| error.to_string())).unwrap();
    });
    let graph = told.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
    assert_eq!(graph.value(graph.outputs()[0]).name, "sum");
    assert!(graph.find("l29999").is_some());
}

#[test]
fn a_normalisation_makes_no_row_that_the_file_does_not_hold() {
    let settings = r#", "axis": [-1], "scale": false, "center": false"#;
    let call = |name: &str| [format!(r#"[["{name}", 0, 0, {{}}]]"#)];
    let flat = layer("Flatten", "flat", "", &call("i"));
    let norm = layer("LayerNormalization", "norm", settings, &call("flat"));
    let model = format!("{}}}", functional(&format!("{flat}, {norm}"), r#"["norm", 0, 0]"#));
    let wide = model.replace("[null, 2]", "[null, 16777216, 128]");
    assert_ne!(wide, model);
    let error = refusal(&described(&wide));
    assert!(error.contains("a normalisation of 2147483648 features"), "{error}");
    keras::open(&described(&model), &KerasOptions::default()).unwrap();
}

#[test]
fn many_kinds_of_trouble_are_counted() {
    let layers: Vec<String> =
        (0..100_000).map(|n| layer(&format!("Odd{n}"), &format!("l{n}"), "", &[])).collect();
    let error = refusal(&described(&format!("{}}}", functional(&layers.join(", "), r#"["l0", 0, 0]"#))));
    assert!(error.starts_with("100000 layers cannot be read"), "{}", &error[..200]);
    assert!(error.contains("\n  and 99960 more\n"), "{error}");
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
        let _ = keras::open(&file, &KerasOptions::default());
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
            // Changes one number of the description.
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
        let _ = keras::open(&file, &KerasOptions::default());
    }
}
