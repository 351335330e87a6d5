//! Node tests of the ONNX project: thousands of small models with inputs and expected outputs.
//!
//! `tools/node_tests/export.py FOLDER` writes them, and `HEATLENS_ONNX_NODE_TESTS` names the folder; without it, the
//! test prints a note and passes. Each model is run by the reference evaluator and, if it compiles, as a program; so is
//! its gradient, which must also agree with finite differences. Expected failures are listed with reasons in
//! `tools/node_tests/expected_failures.txt`: a failure that is not listed fails the test, and so does a listed test
//! that passes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic

mod case;
mod expected;
mod gradient;
mod protobuf;

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use case::{Outcome, run};
use expected::Expected;

#[test]
fn node_tests_of_onnx() {
    let Some(folder) = std::env::var_os("HEATLENS_ONNX_NODE_TESTS").map(PathBuf::from) else {
        // Written to stderr directly, because the test harness hides the output of passing tests.
        let note = "no ONNX node tests; write them with tools/node_tests/export.py and name the folder \
                    by HEATLENS_ONNX_NODE_TESTS";
        assert!(
            std::env::var_os("HEATLENS_REQUIRE_ALL").is_none(),
            "HEATLENS_REQUIRE_ALL is set, but {note}"
        );
        let _ = writeln!(std::io::stderr(), "SKIPPED: {note}");
        return;
    };
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/node_tests/expected_failures.txt");
    let expected = Expected::read(&std::fs::read_to_string(list).unwrap()).unwrap();
    let outcomes = outcomes(&folder);
    assert!(outcomes.len() > 1000, "{} tests in {}", outcomes.len(), folder.display());

    let compiled = outcomes.values().filter(|o| **o == Outcome::Passed { compiled: true }).count();
    let passed = outcomes.values().filter(|o| matches!(o, Outcome::Passed { .. })).count();
    let summary = format!("{passed} of {} pass, {compiled} of them also as programs", outcomes.len());
    let _ = writeln!(std::io::stderr(), "ONNX node tests: {summary}");

    let complaints = expected.compare(&outcomes);
    assert!(complaints.is_empty(), "{}\n{summary}", complaints.join("\n"));
}

/// Returns the result of each test, by name without `test_`.
fn outcomes(folder: &Path) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let name = name.trim_start_matches("test_").to_owned();
        // A panic fails the test: no file may cause one.
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&path)));
        outcomes.insert(name, outcome.unwrap_or_else(|_| Outcome::Failed("PANICKED".to_owned())));
    }
    outcomes
}
