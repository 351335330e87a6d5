//! Tests that onnxruntime computes the same probabilities from written models.
//!
//! Needs a Python with onnxruntime and numpy: the one in `HEATLENS_PYTHON`, or `python3`. Without one, the tests print
//! a note and pass; if `HEATLENS_PYTHON` names one without these packages, they fail.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::common::{SIDE, columns, heatlens, save_npy, save_npz, stripes, train};

/// Returns a Python with the required packages, or prints a note if there is none.
pub(crate) fn python() -> Option<OsString> {
    let named = std::env::var_os("HEATLENS_PYTHON");
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let works = Command::new(&python)
        .args(["-c", "import numpy, onnxruntime"])
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(works || named.is_none(), "HEATLENS_PYTHON={python:?} has no numpy and onnxruntime");
    if !works {
        // Written to stderr directly, because the test harness hides the output of passing tests.
        let note = "no Python with numpy and onnxruntime; name one by HEATLENS_PYTHON";
        assert!(
            std::env::var_os("HEATLENS_REQUIRE_ALL").is_none(),
            "HEATLENS_REQUIRE_ALL is set, but {note}"
        );
        let _ = writeln!(std::io::stderr(), "SKIPPED: {note}");
    }
    works.then_some(python)
}

/// Trains on stripes and compares the probabilities with those of onnxruntime.
fn compare(arch: &str, classes: usize) {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let labels: Vec<usize> = (0..60).map(|n| n % classes).collect();
    let images: Vec<Vec<f32>> = labels.iter().enumerate().map(|(n, &class)| stripes(n, class)).collect();
    save_npz(&path("data.npz"), &images, &labels);
    let flags =
        format!("--arch {arch} --epochs 8 --batch-size 16 --learning-rate 0.01 --validation-split 0.3");
    train(&path("data.npz"), &path("run"), &flags).ends(0);
    let (model, table) = (path("run/model.onnx"), path("table.csv"));
    heatlens("predict", &[&model, &path("data.npz"), Path::new("--out"), &table]).ends(0);

    let table = fs::read_to_string(table).unwrap();
    let (width, probabilities) = match classes {
        2 => (1, columns(&table, "p(1)")),
        n => (n, columns(&table, "p(")),
    };
    // The probabilities must vary: a model with the same output for all images would agree trivially.
    let spread = probabilities.iter().fold((1.0_f64, 0.0_f64), |(low, high), &p| (low.min(p), high.max(p)));
    assert!(spread.1 - spread.0 > 0.05, "{spread:?}");
    let probabilities: Vec<f32> = probabilities.iter().map(|&p| p as f32).collect();
    save_npy(&path("input.npy"), &[60, 1, SIDE, SIDE], &images.concat());
    save_npy(&path("probabilities.npy"), &[60, width], &probabilities);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/onnxruntime_check.py");
    let output = Command::new(python)
        .arg(script)
        .args([&model, &path("input.npy"), &path("probabilities.npy")])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    eprintln!("{arch}, {classes} classes: {}", said.trim());
}

#[test]
fn gap_cnn_gives_the_same_probabilities_in_onnxruntime() {
    compare("gap-cnn", 2);
}

#[test]
fn gap_cnn_bn_gives_the_same_probabilities_in_onnxruntime() {
    compare("gap-cnn-bn", 2);
}

#[test]
fn three_classes_give_the_same_probabilities_in_onnxruntime() {
    compare("gap-cnn-bn", 3);
}
