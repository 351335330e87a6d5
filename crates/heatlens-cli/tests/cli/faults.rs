//! Faults from outside: full disks behind pipes, files that never end, two runs in one folder, names that
//! write to the terminal. Nothing may hang, be lost, or be believed that is not so.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Run, Trained, class_folder, explain, files, heatlens, program, save_png, train};

/// Runs the program; after a minute it counts as hanging.
#[track_caller]
fn in_time(words: &str, paths: &[&Path]) -> Run {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "60", env!("CARGO_BIN_EXE_heatlens")]);
    Run::of(&command.args(words.split_whitespace()).args(paths).stdin(Stdio::null()).output().unwrap())
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn results_that_standard_output_cannot_take_are_an_error() {
    let trained = Trained::new(2);
    let to_a_full_disk = |words: &str, paths: &[&Path]| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -f 0; out=$1; shift; exec \"$@\" > \"$out\"", "sh"]);
        shell.arg(trained.path("out.txt")).arg(env!("CARGO_BIN_EXE_heatlens"));
        Run::of(&shell.args(words.split(' ')).args(paths).output().unwrap())
    };
    let words = ["cannot write all results to standard output", "File too large"];
    to_a_full_disk("methods", &[]).says(1, &words);
    to_a_full_disk("inspect", &[&trained.model]).says(1, &words);
    to_a_full_disk("predict", &[&trained.model, &trained.data]).says(1, &words);
    // A reader that has enough is no error.
    let mut child = program().arg("methods").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = Run::of(&child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[test]
fn pipes_and_links_stay_what_they_are() {
    let trained = Trained::new(2);
    let table = heatlens("predict", &[&trained.model, &trained.data]).stdout;
    let pipe = trained.path("pipe");
    fifo(&pipe);
    let reader = Command::new("cat").arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
    in_time("predict --out", &[&pipe, &trained.model, &trained.data]).ends(0);
    assert_eq!(String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap(), table);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());

    let (link, real) = (trained.path("link"), trained.path("real.csv"));
    fs::write(&real, "old").unwrap();
    symlink(&real, &link).unwrap();
    heatlens("predict --out", &[&link, &trained.model, &trained.data]).ends(0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), table);

    let null = trained.path("null");
    symlink("/dev/null", &null).unwrap();
    heatlens("predict --out", &[&null, &trained.model, &trained.data]).ends(0);
    assert!(fs::metadata(&null).unwrap().file_type().is_char_device());
    let folder = trained.path("folder");
    fs::create_dir(&folder).unwrap();
    heatlens("predict --out", &[&folder, &trained.model, &trained.data]).says(1, &["there is a folder"]);
}

#[test]
fn what_never_ends_is_not_opened() {
    let trained = Trained::new(2);
    let pipe = trained.path("pipe.png");
    fifo(&pipe);
    let words = ["pipe.png", "expected a regular file"];
    let out = trained.path("out");
    in_time("inspect", &[&pipe]).says(1, &words);
    in_time("predict", &[&pipe, &trained.data]).says(1, &words);
    in_time("predict", &[&trained.model, &pipe]).says(1, &words);
    in_time("predict --labels", &[&pipe, &trained.model, &trained.data]).says(1, &words);
    in_time("predict --labels /dev/zero", &[&trained.model, &trained.data])
        .says(1, &["/dev/zero", "expected a regular file"]);
    in_time(
        "explain --save boxes --truth",
        &[&pipe, &trained.model, &trained.data, Path::new("--out"), &out],
    )
    .says(1, &words);
    // Among pictures it costs only itself.
    let folder = trained.path("pictures");
    save_png(&folder.join("a.png"), 0, 0);
    fifo(&folder.join("b.png"));
    in_time("predict", &[&trained.model, &folder]).says(1, &["a.png", "b.png"]);
}

#[test]
fn a_folder_is_written_by_one_run() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    fs::create_dir(&out).unwrap();
    let lock = out.join(".heatlens-lock");
    fs::write(&lock, "123").unwrap();
    let held = File::open(&lock).unwrap();
    held.lock().unwrap();
    let words = ["process 123 is writing into", "choose another folder"];
    explain(&trained.model, &trained.data, &out, "--force").says(1, &words);
    train(&trained.data, &out, "--epochs 1 --force").says(1, &words);
    heatlens("audit --force --out", &[&out, &trained.model, &trained.data]).says(1, &words);
    assert_eq!(files(&out).keys().collect::<Vec<_>>(), [".heatlens-lock"]);
    // The process has ended, however; what it had only begun to write is nothing.
    drop(held);
    fs::write(out.join(".heatlens-abc.part"), "x").unwrap();
    explain(&trained.model, &trained.data, &out, "").ends(0);
    assert!(files(&out).keys().all(|name| !name.contains(".heatlens-")), "{:?}", files(&out).keys());
}

#[test]
fn results_and_inputs_lie_apart() {
    let trained = Trained::new(2);
    let images = trained.path("images");
    class_folder(&images, &["0", "1"], 4);
    let before = files(&images);
    let inside = images.join("out");
    explain(&trained.model, &images, &inside, "").says(1, &["lies in the input"]);
    explain(&trained.model, &images, &inside, "--force").says(1, &["lies in the input"]);
    train(&images, &inside, "--epochs 1").says(1, &["lies in the input"]);
    explain(&trained.model, &images.join("0"), &images, "--force")
        .says(1, &["lies in the folder for the results"]);
    assert!(files(&images) == before && !inside.exists());

    // A merge never touches its shards, by whatever name.
    for shard in ["1/2", "2/2"] {
        let out = trained.path(&format!("s{}", &shard[..1]));
        explain(&trained.model, &trained.data, &out, &format!("--shard {shard}")).ends(0);
    }
    let [one, two, link] = ["s1", "s2", "link"].map(|name| trained.path(name));
    symlink(&one, &link).unwrap();
    let before = files(&one);
    for out in [&one, &link, &one.join("inside")] {
        heatlens("merge --force", &[&one, &two, Path::new("--out"), out]).ends(1);
    }
    assert!(files(&one) == before, "a refused merge changed a shard");
    heatlens("merge", &[&one, &two, Path::new("--out"), &trained.path("all")]).ends(0);
}

#[test]
fn names_do_not_write_to_the_terminal_and_always_fit_on_disk() {
    let trained = Trained::new(3);
    let labels = trained.path("labels.txt");
    let long = "long ".repeat(100);
    fs::write(&labels, format!("\u{1b}[31mred\n{long}\n../../up\n")).unwrap();
    let said = heatlens("predict --labels", &[&labels, &trained.model, &trained.data]).ends(0);
    assert!(said.contains("\\u{1b}[31mred") && !said.contains('\u{1b}'), "{said}");
    let missing = heatlens("predict", &[&trained.model, &trained.path("no\nerror: forged\u{1b}[2J.png")]);
    let said = missing.ends(1);
    assert!(!said.contains("\nerror: forged") && !said.contains('\u{1b}'), "{said}");
    let out = trained.path("out");
    let words = format!("--class all --save png,npz --labels {}", labels.display());
    explain(&trained.model, &trained.data, &out, &words).ends(0);
    let written = files(&out);
    assert!(!trained.path("up").exists() && written.keys().all(|name| name.len() < 250));
    assert_eq!(written.keys().filter(|name| name.contains("/overlay_grad_cam#")).count(), 3 * 36);
}

#[test]
fn pictures_share_one_budget_of_memory() {
    let trained = Trained::new(2);
    let folder = trained.path("large");
    fs::create_dir(&folder).unwrap();
    for name in ["a.png", "b.png", "c.png", "d.png"] {
        image::RgbImage::from_fn(1600, 1200, |x, y| image::Rgb([x as u8, y as u8, 9]))
            .save(folder.join(name))
            .unwrap();
    }
    let predict =
        |memory: &str| heatlens(&format!("predict --quiet --memory {memory}"), &[&trained.model, &folder]);
    predict("20MiB").says(1, &["1600 × 1200 pixels", "--memory"]);
    let table = predict("40MiB").ends(0);
    assert_eq!(predict("4GiB").ends(0), table);
    predict("40").says(2, &["expected a number and a unit"]);
}

#[test]
fn a_run_goes_on_under_the_instructions_that_began_it() {
    let trained = Trained::new(2);
    let isa = |words: &str, out: &Path| {
        let mut command = program();
        command.args(words.split_whitespace()).args([&trained.data, Path::new("--out"), out]);
        Run::of(&command.env("HEATLENS_ISA", "portable").output().unwrap())
    };
    let out = trained.path("portable");
    let words = "train --recipe keras-two-class --epochs 2 --batch-size 16 --validation-split 0.3";
    isa(words, &out).ends(0);
    let state = fs::read_to_string(out.join("run.json")).unwrap();
    assert!(state.contains("\"processor\": \"portable\""), "{state}");
    isa(&format!("{words} --resume"), &out).ends(0);
    fs::write(out.join("run.json"), state.replace("portable", "avx9")).unwrap();
    isa(&format!("{words} --resume"), &out).says(1, &["processor was \"avx9\", is now \"portable\""]);
    heatlens("predict --isa sse9", &[&trained.model, &trained.data])
        .says(2, &["'sse9' for '--isa", "avx512, avx2, portable"]);
}

/// Lets a finished run count as stopped.
fn unfinish(out: &Path) {
    let path = out.join("run.json");
    let state = fs::read_to_string(&path).unwrap();
    assert!(state.contains("\"finished\": true"), "{state}");
    fs::write(path, state.replace("\"finished\": true", "\"finished\": false")).unwrap();
}

/// All that a run leaves but times.
fn results(out: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut found = files(out);
    found.remove("timing.json");
    found
}

fn audit(trained: &Trained, data: &Path, out: &str, flags: &str) -> Run {
    let words = format!("audit --method grad_cam,gradient {flags} --out");
    heatlens(&words, &[&trained.path(out), &trained.model, data])
}

#[test]
fn records_of_an_audit_that_are_double_cut_or_damaged_are_measured_again() {
    let trained = Trained::new(2);
    // A name with letters of several bytes, which stand in every line.
    let data = trained.path("grün.npz");
    fs::copy(&trained.data, &data).unwrap();
    audit(&trained, &data, "whole", "--images 5").ends(0);
    audit(&trained, &data, "again", "--images 5").ends(0);
    let (whole, out) = (results(&trained.path("whole")), trained.path("again"));
    let path = out.join("images.jsonl");
    let lines = fs::read(&path).unwrap();
    let ends: Vec<usize> = (0..lines.len()).filter(|&at| lines[at] == b'\n').map(|at| at + 1).collect();
    assert_eq!(ends.len(), 5);
    let letter = ends[3] + lines[ends[3]..].windows(2).position(|pair| pair == "ü".as_bytes()).unwrap();
    let mut damaged = lines.clone();
    let digit = ends[1] + lines[ends[1]..].iter().position(|byte| *byte == b'.').unwrap() + 3;
    damaged[digit] ^= 1;
    let forged = String::from_utf8(lines[..ends[0]].to_vec()).unwrap().replacen("0.", "0.9", 1);
    let cases: [(&str, Vec<u8>); 8] = [
        ("every line twice", [&lines[..], &lines[..]].concat()),
        // Left in between by a second audit in the same folder.
        ("another order", [&lines[ends[2]..], &lines[..ends[3]], &lines[ends[0]..ends[1]]].concat()),
        ("cut inside a letter", lines[..=letter].to_vec()),
        ("cut, and more behind it", [&lines[..ends[0] + 70], &lines[ends[1]..]].concat()),
        ("a flipped bit", damaged),
        ("another number", [forged.as_bytes(), &lines[ends[0]..]].concat()),
        ("nothing", Vec::new()),
        ("not text", [&lines[..ends[1]], &[0xff, 0xfe, 0, b'\n']].concat()),
    ];
    for (what, bytes) in cases {
        unfinish(&out);
        fs::write(&path, bytes).unwrap();
        audit(&trained, &data, "again", "--images 5 --resume").ends(0);
        let found = results(&out);
        assert_eq!(found.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>(), "{what}");
        for (name, bytes) in &whole {
            // Lines stand in the order in which they were measured.
            let same = if name == "images.jsonl" {
                sorted(&found[name]) == sorted(bytes)
            } else {
                found[name] == *bytes
            };
            assert!(same, "{what}: {name} differs");
        }
    }
    let comparison = out.join("random-networks.json");
    let mut text = fs::read(&comparison).unwrap();
    let digit = text.windows(2).position(|pair| pair == b"0.").unwrap() + 3;
    text[digit] ^= 1;
    unfinish(&out);
    fs::write(&comparison, text).unwrap();
    audit(&trained, &data, "again", "--images 5 --resume").ends(0);
    assert!(results(&out)["audit.json"] == whole["audit.json"]);
    assert!(results(&out)["random-networks.json"] == whole["random-networks.json"]);
}

fn sorted(lines: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
    lines.sort();
    lines
}

#[test]
fn a_run_whose_names_or_pixels_changed_does_not_go_on() {
    let trained = Trained::new(2);
    let (data, labels) = (trained.path("some.npz"), trained.path("names.txt"));
    let images = |changed: Option<usize>| {
        let pixels: Vec<Vec<f32>> =
            (0..6).map(|n| crate::common::stripes(if changed == Some(n) { 50 } else { n }, n % 2)).collect();
        crate::common::save_npz(&data, &pixels, &[0, 1, 0, 1, 0, 1]);
    };
    images(None);
    fs::write(&labels, "good\nbad\n").unwrap();
    let explained = |flags: &str| {
        let words = format!("--method grad_cam --shard 1/1 --labels {} {flags}", labels.display());
        explain(&trained.model, &data, &trained.path("explained"), &words)
    };
    let audited =
        |flags: &str| audit(&trained, &data, "audited", &format!("--labels {} {flags}", labels.display()));
    explained("").ends(0);
    audited("").ends(0);
    let outs = [trained.path("explained"), trained.path("audited")];
    outs.iter().for_each(|out| unfinish(out));
    let before = outs.clone().map(|out| files(&out));
    let unchanged = || {
        for (out, before) in outs.iter().zip(&before) {
            let mut now = files(out);
            // Made by the check itself, and removed by the next run.
            now.remove(".heatlens-lock");
            assert_eq!(now.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
            for (name, bytes) in before {
                assert!(now[name] == *bytes, "{} of {}", name, out.display());
            }
        }
    };
    fs::write(&labels, "bad\ngood\n").unwrap();
    explained("--resume").says(1, &["started with other settings: inputs was", "--force"]);
    audited("--resume").says(1, &["started with other settings: inputs was", "--force"]);
    unchanged();
    fs::write(&labels, "good\nbad\n").unwrap();
    images(Some(2));
    explained("--resume").says(1, &["image number 2", "changed"]);
    audited("--resume").says(1, &["image number 2", "changed"]);
    unchanged();
    // Stopped before the first image was measured, an audit keeps only the comparison with random networks: of other images
    // it is made again, as if there had been none.
    fs::write(outs[1].join("images.jsonl"), "").unwrap();
    audited("--resume").ends(0);
    audit(&trained, &data, "other", &format!("--labels {}", labels.display())).ends(0);
    assert!(results(&outs[1]) == results(&trained.path("other")));
    images(None);
    explained("--resume").ends(0);
}

/// Layers and classes whose names are the same for a file system, or the same altogether.
#[cfg(target_os = "linux")]
#[test]
fn names_that_collide_keep_their_own_files() {
    use crate::onnx_file::{File, node};
    let folder = tempfile::tempdir().unwrap();
    let [model, image, labels, out] =
        ["model.onnx", "a.npy", "names.txt", "out"].map(|name| folder.path().join(name));
    let layers = ["a/b", "a_b", "a b", "a:b", "A_B"];
    let mut file = File::default();
    let mut from = "x";
    for layer in layers {
        file.nodes.push(node("Sigmoid", &[from], layer));
        from = layer;
    }
    file.nodes.push(node("Relu", &[from], "features"));
    fs::write(&model, file.bytes([3, 16, 16], 3)).unwrap();
    crate::common::save_npy(&image, &[1, 3, 16, 16], &vec![0.5; 768]);
    fs::write(&labels, "crane\ncrane\n").unwrap();
    let mut command = program();
    command.args(["explain", "--method", "grad_cam", "--layer", &layers.join(","), "--class", "all"]);
    command.args(["--save", "png,npz,boxes,masks", "--labels"]).args([&labels, &model, &image]);
    Run::of(&command.arg("--out").arg(&out).output().unwrap()).ends(0);
    let written = files(&out);
    let lines = crate::common::manifest(&out);
    let listed: Vec<&str> = lines
        .iter()
        .flat_map(|line| line["files"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    let maps = listed.iter().filter(|name| name.contains("heatmap")).count();
    assert_eq!(maps, layers.len() * 2, "{listed:?}");
    let lower: std::collections::BTreeSet<String> = listed.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(lower.len(), listed.len(), "two names that some file systems take for one: {listed:?}");
    assert!(listed.iter().all(|name| written.contains_key(*name)), "{listed:?} and {:?}", written.keys());
    let annotations = written.keys().filter(|name| name.starts_with("annotations")).count();
    assert_eq!(annotations, layers.len() * 2, "{:?}", written.keys());
    assert_eq!(
        crate::common::arrays(&out.join("maps.npz")).keys().filter(|name| name.contains("grad_cam")).count(),
        layers.len() * 2
    );
}
