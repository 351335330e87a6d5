//! Tests that a killed, stopped or truncated run, when resumed, gives the same bytes as an uninterrupted one.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use crate::common::{Run, files, program, stripes_npz, train};

const FLAGS: &str = "--epochs 20 --patience 0 --batch-size 8 --learning-rate 0.01 --validation-split 0.3 \
                     --shift 0.1 --horizontal-flip --lr-schedule reduce-on-plateau --monitor val_loss";

/// A folder with training data.
struct Case {
    folder: tempfile::TempDir,
    data: PathBuf,
    flags: String,
}

impl Case {
    fn new(arch: &str, flags: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data.npz");
        stripes_npz(&data, 120, 2);
        Self { folder, data, flags: format!("--arch {arch} --recipe keras-two-class {flags}") }
    }

    fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, name: &str, more: &str) -> Run {
        train(&self.data, &self.run(name), &format!("{} {more}", self.flags))
    }

    /// Starts a run and returns it with its output so far, after it has reported `epochs` epochs.
    fn start(&self, name: &str, epochs: usize) -> (Child, BufReader<std::process::ChildStdout>, String) {
        let mut child = program()
            .arg("train")
            .args(self.flags.split_whitespace())
            .args([&self.data, Path::new("--out"), &self.run(name)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while said.matches("epoch ").count() < epochs || !said.contains("held out") {
            let read = reader.read_line(&mut said).unwrap();
            assert!(read > 0, "the run ended before epoch {epochs}: {said}");
        }
        (child, reader, said)
    }
}

/// Returns the results of a run; only its times may differ.
fn results(run: &Path) -> Vec<(String, Vec<u8>)> {
    files(run).into_iter().filter(|(name, _)| name != "timing.csv").collect()
}

/// Asserts that all files are equal, without printing bytes.
#[track_caller]
fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (results(a), results(b));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for ((name, a), (_, b)) in a.iter().zip(&b) {
        assert!(a == b, "{name} differs");
    }
}

/// Kills a run after `epochs` epochs and a delay, and resumes it.
fn kill_and_resume(arch: &str) {
    let case = Case::new(arch, FLAGS);
    case.train("whole", "").ends(0);
    let mut cut_short = 0;
    for (i, (epochs, moment)) in [(0, 0), (0, 20), (1, 3), (7, 9), (14, 1), (19, 0)].into_iter().enumerate() {
        let name = format!("killed{i}");
        let (mut child, ..) = case.start(&name, epochs);
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        let ended_itself = child.wait().unwrap().code().is_some();
        cut_short += usize::from(!ended_itself);
        // A run killed before its state was written cannot be resumed, and gives an error.
        if case.run(&name).join("run.json").exists() {
            case.train(&name, "--resume").ends(0);
            assert_same(&case.run("whole"), &case.run(&name));
        } else {
            case.train(&name, "--resume").says(1, &["no unfinished run to resume"]);
        }
    }
    // How many are killed before their end depends on the machine.
    assert!(cut_short > 0, "every run ended before it was killed");
}

#[test]
fn a_killed_gap_cnn_resumes_to_the_same_bytes() {
    kill_and_resume("gap-cnn");
}

#[test]
fn a_killed_gap_cnn_bn_resumes_to_the_same_bytes() {
    kill_and_resume("gap-cnn-bn");
}

#[test]
fn a_run_killed_right_after_its_last_checkpoint_gets_its_other_files() {
    let case = Case::new("gap-cnn", FLAGS);
    case.train("whole", "").ends(0);
    case.train("late", "").ends(0);
    let late = case.run("late");
    let history = fs::read_to_string(late.join("history.csv")).unwrap();
    let (without_last, _) = history.trim_end().rsplit_once('\n').unwrap();
    fs::write(late.join("history.csv"), format!("{without_last}\n")).unwrap();
    for name in ["model.onnx", "metrics.json", "learning_curve.png"] {
        fs::remove_file(late.join(name)).unwrap();
    }
    fs::write(late.join(".heatlens-Ab12.part"), "half a file of the killed process").unwrap();
    case.train("late", "--resume").ends(0);
    assert_same(&case.run("whole"), &late);
}

#[test]
fn threads_make_no_difference() {
    for arch in ["gap-cnn", "gap-cnn-bn", "gap-cnn-deep"] {
        let case = Case::new(arch, "--epochs 3 --batch-size 16 --learning-rate 0.01 --validation-split 0.3");
        case.train("one", "--threads 1").ends(0);
        case.train("two", "--threads 2").ends(0);
        case.train("three", "--threads 3").ends(0);
        assert_same(&case.run("one"), &case.run("two"));
        assert_same(&case.run("one"), &case.run("three"));
    }
}

#[test]
fn a_run_goes_on_only_as_it_began() {
    let case = Case::new("gap-cnn", "--epochs 2 --batch-size 16 --validation-split 0.3");
    case.train("run", "").ends(0);
    let out = case.run("run");
    let before = results(&out);
    let other =
        "--arch gap-cnn --recipe keras-two-class --epochs 2 --batch-size 16 --validation-split 0.3 --resume";
    train(&case.data, &out, &other.replace("--batch-size 16", "--batch-size 8"))
        .says(1, &["batch_size was 16, is now 8"]);
    train(&case.data, &out, &other.replace("gap-cnn", "gap-cnn-bn"))
        .says(1, &["arch was \"gap-cnn\", is now \"gap-cnn-bn\""]);
    train(&case.data, &out, &format!("{other} --seed 3")).says(1, &["seed was 0, is now 3"]);
    train(&case.folder.path().join("data.npz"), &case.run("none"), other)
        .says(1, &["no unfinished run to resume"]);
    // The same path with other pixels.
    stripes_npz(&case.data, 124, 2);
    train(&case.data, &out, other)
        .says(1, &["started with other settings: images was 120, is now 124; inputs was"]);
    assert!(results(&out) == before, "a refused run changed files");
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let case = Case::new("gap-cnn", "--epochs 2 --batch-size 16 --validation-split 0.3");
    case.train("run", "").ends(0);
    let path = case.run("run").join("checkpoint.safetensors");
    let bytes = fs::read(&path).unwrap();
    for damaged in [&bytes[..bytes.len() / 2], &b"not a checkpoint"[..], &[]] {
        fs::write(&path, damaged).unwrap();
        case.train("run", "--resume").says(1, &["checkpoint.safetensors"]);
    }
}

/// Waits until a run has reported `epochs` epochs, sends Ctrl-C and waits for its end.
#[cfg(unix)]
fn interrupt(case: &Case, name: &str, epochs: usize) -> Run {
    let (mut child, mut reader, mut said) = case.start(name, epochs);
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    reader.read_to_string(&mut said).unwrap();
    let mut stderr = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Run::of(&Output { status: child.wait().unwrap(), stdout: said.into_bytes(), stderr })
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_epochs_and_says_how_to_go_on() {
    let flags = "--epochs 60 --batch-size 4 --learning-rate 0.001 --validation-split 0.3 --patience 0";
    let case = Case::new("gap-cnn", flags);
    case.train("whole", "").ends(0);
    for epochs in [0, 2] {
        let name = format!("stopped{epochs}");
        interrupt(&case, &name, epochs).says(130, &["interrupted", "--resume"]);
        case.train(&name, "--resume").ends(0);
        assert_same(&case.run("whole"), &case.run(&name));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_does_not_begin_to_explain_half_a_model() {
    let flags = "--epochs 60 --batch-size 4 --validation-split 0.3 --patience 0 --explain-rows 0:4";
    let case = Case::new("gap-cnn", flags);
    interrupt(&case, "run", 2).says(130, &["interrupted after epoch", "--resume"]);
    assert!(!case.run("run").join("explain").exists());
}
