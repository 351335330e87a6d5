//! Every example runs without arguments, on generated data. `cargo test` builds the examples; `cargo test --test
//! examples` does not.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

use std::path::{Path, PathBuf};
use std::process::Command;

const EXAMPLES: [(&str, &str); 6] = [
    ("explain_image", "evidence from "),
    ("compare_methods", "rise "),
    ("train_and_explain", "Accuracy "),
    ("custom_method", "Positive CAM: from "),
    ("export_self_explaining", "output explanation: N×48×48"),
    ("audit", "Random (control)"),
];

/// Returns the folder of the examples that cargo has built.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples")
}

#[test]
fn every_example_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    let mut known = EXAMPLES.map(|(name, _)| name);
    found.sort();
    known.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn examples_run_on_data_of_their_own() {
    for (name, expected) in EXAMPLES {
        let program = built().join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        assert!(program.is_file(), "{name} is not built: cargo build --workspace --examples");
        let folder = tempfile::tempdir().unwrap();
        let ran = Command::new(program).env("TMPDIR", folder.path()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success() && out.contains(expected), "{name}: {out}{err}");
    }
}
