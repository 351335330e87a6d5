//! Tests of a disk that fills up, simulated by the shell's file size limit: the error names the file, no incomplete
//! files are left, and finished files are kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{BARELY, Run, Trained, class_folder, files, manifest};

/// Runs the program with file sizes limited to `blocks` blocks of 512 bytes.
fn limited(blocks: usize, words: &str, paths: &[&Path]) -> Run {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_heatlens")]);
    Run::of(&command.args(words.split_whitespace()).args(paths).output().unwrap())
}

/// Asserts that all files below the folder are complete and none is temporary.
fn assert_whole(out: &Path) {
    for (name, bytes) in files(out) {
        assert!(!name.contains(".part"), "{name} was left");
        match Path::new(&name).extension().and_then(|e| e.to_str()) {
            Some("png") => assert!(image::load_from_memory(&bytes).is_ok(), "{name} is cut"),
            Some("jsonl") => drop(manifest(out)),
            Some("npz") => drop(crate::common::arrays(&out.join(name))),
            Some("json") => drop(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()),
            Some("onnx") => {
                heatlens::model::Model::open(&out.join(&name)).unwrap();
            }
            _ => {}
        }
    }
}

fn explain_limited(trained: &Trained, blocks: usize, save: &str) -> (Run, PathBuf) {
    let out = trained.path(&format!("out{blocks}{save}"));
    let run = limited(
        blocks,
        &format!("explain --method grad_cam --save {save}"),
        &[&trained.model, &trained.data, Path::new("--out"), &out],
    );
    (run, out)
}

#[test]
fn explaining_names_the_file_that_could_not_be_written() {
    let trained = Trained::new(2);
    for (blocks, save) in [(1, "png"), (4, "png"), (8, "npz"), (2, "npz"), (16, "tensors")] {
        let (run, out) = explain_limited(&trained, blocks, save);
        run.says(1, &["cannot write", out.to_str().unwrap()]);
        assert_whole(&out);
    }
}

#[test]
fn the_manifest_keeps_whole_lines_when_it_is_what_does_not_fit() {
    let trained = Trained::new(2);
    let full = trained.path("full");
    crate::common::explain(&trained.model, &trained.data, &full, "--method grad_cam --save npz").ends(0);
    let needed = fs::metadata(full.join("manifest.jsonl")).unwrap().len();
    // Lines are written 32 at a time: the limit is reached in the second write.
    let blocks = usize::try_from((needed * 32 / 36).div_ceil(512)).unwrap() + 1;
    assert!(blocks as u64 * 512 < needed, "{blocks} blocks for {needed} bytes");
    let (run, out) = explain_limited(&trained, blocks, "npz");
    run.says(1, &["cannot write", "manifest.jsonl"]);
    assert_eq!(manifest(&out).len(), 32);
    assert_whole(&out);
}

#[test]
fn training_names_the_file_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out, whole) =
        (folder.path().join("data"), folder.path().join("run"), folder.path().join("whole"));
    class_folder(&data, &["a", "b"], 12);
    let words = |flags: &str| format!("train --arch gap-cnn-bn {BARELY} {flags}");
    crate::common::heatlens(&words(""), &[&data, Path::new("--out"), &whole]).ends(0);
    let checkpoint = fs::metadata(whole.join("checkpoint.safetensors")).unwrap().len() / 512;
    let blocks = usize::try_from(checkpoint).unwrap() - 4;
    let run = limited(blocks, &words(""), &[&data, Path::new("--out"), &out]);
    run.says(1, &["cannot write", out.join("checkpoint.safetensors").to_str().unwrap()]);
    assert_whole(&out);
    crate::common::heatlens(&words("--resume"), &[&data, Path::new("--out"), &out]).ends(0);
    for name in ["model.onnx", "history.csv", "metrics.json", "learning_curve.png"] {
        assert!(fs::read(out.join(name)).unwrap() == fs::read(whole.join(name)).unwrap(), "{name} differs");
    }
}
