//! Small files that ask for much: the program ends within a minute and within 3 GiB, with a result or an error.
//!
//! The numbers of `docs/security.md` say which test is for which kind of attack. The readers' own tests look at each limit
//! by itself; these hold the program to what all of them promise together.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use image::ImageEncoder;
use image::codecs::png::PngEncoder;

use crate::common::{Run, Trained, heatlens};
use crate::onnx_file::{File, Message, call, floats, function, ints, node, with_int};

/// Runs the program with so many MiB to address; after a minute it counts as hanging.
#[track_caller]
fn within(mebibytes: u64, words: &str, paths: &[&Path]) -> Run {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -v {}; exec timeout --signal=KILL 60 \"$0\" \"$@\"", mebibytes << 10)]);
    command.arg(env!("CARGO_BIN_EXE_heatlens")).args(words.split_whitespace()).args(paths);
    Run::of(&command.stdin(Stdio::null()).output().unwrap())
}

/// A folder with a model file of these bytes.
fn written(file: Vec<u8>) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, file).unwrap();
    (folder, path)
}

fn bounded(file: Vec<u8>, words: &str) -> Run {
    let (_folder, path) = written(file);
    within(3072, words, &[&path])
}

/// A pixel image for a model of these channels, rows and columns.
fn array(path: &Path, [c, h, w]: [usize; 3]) {
    let values = vec![0.5; c * h * w];
    crate::common::save_npy(path, &[1, c, h, w], &values);
}

/// A call's name stands before each name in the function: 1 MB of file for gigabytes of names.
#[test]
fn names_that_functions_multiply_cost_little() {
    let body: Vec<Message> = (0..200)
        .map(|i| {
            let from = if i == 0 { "in".to_owned() } else { format!("v{i}") };
            let to = if i == 199 { "out".to_owned() } else { format!("v{}", i + 1) };
            node("Relu", &[&from], &to)
        })
        .collect();
    let mut file = File { functions: vec![function("long", &body)], ..File::default() };
    for i in 0..50 {
        let from = if i == 0 { "x".to_owned() } else { format!("h{i}") };
        let to = if i == 49 { "features".to_owned() } else { format!("h{}", i + 1) };
        file.nodes.push(call("long", &from, &to, &format!("{i:0>20000}")));
    }
    bounded(file.bytes([3, 8, 8], 3), "inspect")
        .says(1, &["the expansion of the file's functions", "at most"]);
}

/// A file of a kilobyte whose whole numbers, computed while it is read, would take gigabytes.
#[test]
fn constants_that_a_file_computes_are_counted_together() {
    let mut file = File { arrays: vec![ints("one", &[1]), ints("wide", &[1 << 24])], ..File::default() };
    file.nodes.push(node("Expand", &["one", "wide"], "e0"));
    file.nodes.extend((0..60).map(|i| node("Add", &[&format!("e{i}"), "one"], &format!("e{}", i + 1))));
    file.nodes.push(with_int(node("Cast", &["e60"], "numbers"), "to", 1));
    file.nodes.push(node("ReduceMean", &["numbers"], "mean"));
    file.nodes.push(node("Add", &["x", "mean"], "features"));
    let bytes = file.bytes([3, 8, 8], 3);
    assert!(bytes.len() < 4000);
    bounded(bytes, "inspect").says(1, &["compute while the file is read", "at most"]);
}

#[test]
fn a_constant_of_billions_of_elements_is_refused() {
    let mut file = File { arrays: vec![ints("sides", &[1, 3, 1 << 16, 1 << 16])], ..File::default() };
    file.nodes.push(node("ConstantOfShape", &["sides"], "zeros"));
    file.nodes.push(node("GlobalAveragePool", &["zeros"], "nothing"));
    file.nodes.push(node("Add", &["x", "nothing"], "features"));
    let (folder, model) = written(file.bytes([3, 8, 8], 3));
    let image = folder.path().join("a.npy");
    array(&image, [3, 8, 8]);
    within(3072, "predict", &[&model, &image]).says(1, &["elements"]);
}

#[test]
fn a_batch_that_no_machine_takes_is_refused_at_once() {
    let file = || {
        let mut file = File { batch: Some(1 << 40), ..File::default() };
        file.nodes.push(node("Relu", &["x"], "features"));
        file.bytes([3, 8, 8], 3)
    };
    bounded(file(), "inspect").says(1, &["1099511627776 images at a time", "at most 4096"]);
}

/// A single row of 16,000 pixels: enlarging its map must not take a matrix of 16,000 × 16,000.
#[test]
fn maps_of_very_wide_images_cost_little() {
    let mut file = File { arrays: vec![floats("kernel", &[2, 1, 1, 3], 0.25)], ..File::default() };
    let same = Message::default().bytes(1, "auto_pad").bytes(4, "SAME_UPPER").int(20, 3);
    file.nodes.push(node("Conv", &["x", "kernel"], "conv").bytes(5, same.0));
    file.nodes.push(node("Relu", &["conv"], "features"));
    let (folder, model) = written(file.bytes([1, 1, 16_000], 2));
    let image = folder.path().join("a.npy");
    array(&image, [1, 1, 16_000]);
    let out = folder.path().join("out");
    let words = "explain --method grad_cam,guided_backprop,guided_grad_cam --save npz --out";
    within(2048, words, &[&out, &model, &image]).says(0, &["1 of 1 images explained"]);
}

/// The memory a program needs is compared with the available memory, not only with a fixed limit.
#[test]
fn more_memory_than_there_is_is_refused_with_both_numbers() {
    let available = available() as f64;
    // Enlarged features of so many columns: three quarters more than there is.
    let columns = (available * 1.75 / 4.0 / (3.0 * 4096.0)) as i64;
    let mut file = File { arrays: vec![ints("sizes", &[1, 3, 4096, columns])], ..File::default() };
    file.nodes.push(node("Relu", &["x"], "small"));
    file.nodes.push(node("Resize", &["small", "", "", "sizes"], "large"));
    file.nodes.push(node("Sigmoid", &["large"], "features"));
    let (folder, model) = written(file.bytes([3, 8, 8], 3));
    let image = folder.path().join("a.npy");
    array(&image, [3, 8, 8]);
    within(3072, "predict", &[&model, &image])
        .says(1, &["one sample would take", "GiB of memory", "GiB are available"]);
}

/// Bytes that the system says are available.
fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with("MemAvailable:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Seconds to open a chain of so many nodes, answer and explain.
fn chain(nodes: usize) -> Duration {
    let mut file = File::default();
    for i in 0..nodes {
        let from = if i == 0 { "x".to_owned() } else { format!("c{i}") };
        let to = if i + 1 == nodes { "features".to_owned() } else { format!("c{}", i + 1) };
        file.nodes.push(node(if i % 2 == 0 { "Sigmoid" } else { "Neg" }, &[&from], &to));
    }
    let (folder, model) = written(file.bytes([1, 4, 4], 1));
    let image = folder.path().join("a.npy");
    array(&image, [1, 4, 4]);
    let begun = Instant::now();
    within(3072, "inspect", &[&model]).ends(0);
    within(3072, "predict", &[&model, &image]).ends(0);
    let out = folder.path().join("out");
    within(3072, "explain --method gradient --save npz --out", &[&out, &model, &image]).ends(0);
    begun.elapsed()
}

/// Ten times the nodes take at most 25 times as long; what is quadratic takes a hundred times.
#[test]
fn long_chains_are_read_and_explained_in_linear_time() {
    let short = (0..2).map(|_| chain(2_000)).min().unwrap();
    let long = chain(20_000);
    assert!(long < short * 25, "{short:?} for 2,000 nodes, {long:?} for 20,000");
}

/// Each function calls the one below it twice: 2 KB of file for 2^18 nodes, which is much, and 4 KB for 2^40.
#[test]
fn functions_that_double_end_in_time() {
    let doubling = |depth: usize| {
        let mut functions = vec![function("f0", &[node("Relu", &["in"], "out")])];
        for level in 1..=depth {
            let below = format!("f{}", level - 1);
            let body = [call(&below, "in", "middle", "a"), call(&below, "middle", "out", "b")];
            functions.push(function(&format!("f{level}"), &body));
        }
        let nodes = vec![call(&format!("f{depth}"), "x", "features", "top")];
        let bytes = File { nodes, functions, ..File::default() }.bytes([3, 8, 8], 3);
        assert!(bytes.len() < 8000, "{}", bytes.len());
        bounded(bytes, "inspect")
    };
    let run = doubling(18);
    assert!(run.code == 0 || run.stderr.contains("the expansion of the file's functions"), "{run:?}");
    doubling(40).says(1, &["the expansion of the file's functions", "at most"]);
}

/// Returns a network with a recurrent layer over the rows of an image.
fn recurrent(steps: i64) -> Vec<u8> {
    let mut file = File {
        arrays: vec![
            floats("w", &[1, 8, 4], 0.1),
            floats("r", &[1, 8, 2], 0.1),
            floats("weights", &[2, 2], 0.5),
            ints("rows", &[-1, steps, 4]),
            ints("row", &[-1, 2]),
        ],
        ..File::default()
    };
    file.nodes.push(node("Reshape", &["x", "rows"], "sequence"));
    let turned = Message::default().bytes(1, "perm").int(8, 1).int(8, 0).int(8, 2).int(20, 7);
    file.nodes.push(node("Transpose", &["sequence"], "turned").bytes(5, turned.0));
    let lstm = Message::default().bytes(1, "turned").bytes(1, "w").bytes(1, "r");
    let lstm = lstm.bytes(2, "").bytes(2, "last").bytes(3, "lstm").bytes(4, "LSTM");
    file.nodes.push(with_int(lstm, "hidden_size", 2));
    file.nodes.push(node("Reshape", &["last", "row"], "flat"));
    file.whole([1, steps as u64, 4])
}

/// A recurrent layer is written out step by step.
#[test]
fn long_sequences_are_read_in_time() {
    let (folder, model) = written(recurrent(5_000));
    let image = folder.path().join("a.npy");
    array(&image, [1, 5_000, 4]);
    within(3072, "predict", &[&model, &image]).ends(0);
    let out = folder.path().join("out");
    within(3072, "explain --method gradient --save npz --out", &[&out, &model, &image]).ends(0);
    bounded(recurrent(11_000), "inspect").says(1, &["a sequence of 11000 steps", "262144 nodes"]);
}

#[test]
fn threads_beyond_reason_are_refused_at_once() {
    let threads = |count: usize| within(8192, &format!("methods grad_cam --threads {count}"), &[]);
    threads(16).ends(0);
    let most = std::thread::available_parallelism().map_or(1, usize::from).max(256);
    for count in [0, most + 1, 5_000.max(most + 1)] {
        threads(count).says(2, &[&format!("--threads {count}: expected 1 to {most}")]);
    }
}

fn png(path: &Path, encode: impl FnOnce(PngEncoder<fs::File>) -> image::ImageResult<()>) {
    encode(PngEncoder::new(fs::File::create(path).unwrap())).unwrap();
}

/// 500 MiB of colour profile in half a megabyte of file; nobody here uses profiles.
#[test]
fn a_large_profile_is_not_read_whole() {
    let trained = Trained::new(2);
    let (plain, bomb) = (trained.path("a.png"), trained.path("b.png"));
    let pixels: Vec<u8> = (0..=255).collect();
    let write = |encoder: PngEncoder<_>| encoder.write_image(&pixels, 16, 16, image::ExtendedColorType::L8);
    png(&plain, write);
    png(&bomb, |mut encoder| {
        encoder.set_icc_profile(vec![0; 500 << 20]).unwrap();
        encoder.write_image(&pixels, 16, 16, image::ExtendedColorType::L8)
    });
    assert!(fs::metadata(&bomb).unwrap().len() < 1 << 21);
    let answer = |path: &Path, mebibytes: u64| {
        within(mebibytes, "predict --quiet --threads 2", &[&trained.model, path])
            .ends(0)
            .replace("b.png", "a.png")
    };
    let needed = (1..20).map(|step| 50 * step).find(|&mebibytes| {
        let mut command = Command::new("sh");
        let words = format!("ulimit -v {}; exec \"$0\" predict --quiet --threads 2 \"$@\"", mebibytes << 10);
        command.args(["-c", &words, env!("CARGO_BIN_EXE_heatlens")]).args([&trained.model, &plain]);
        command.output().unwrap().status.success()
    });
    // 64 MiB of the profile, as much again while its buffer grows, and what allocators take in advance.
    let most = needed.unwrap() + 300;
    assert_eq!(answer(&plain, most), answer(&bomb, most));
}

/// A few kilobytes of file for hundreds of megabytes of pixels.
#[test]
fn a_picture_that_unfolds_counts_by_its_pixels() {
    let trained = Trained::new(2);
    let bomb = trained.path("bomb.png");
    let side = 4000_u32;
    let pixels = vec![0; side as usize * side as usize * 8];
    png(&bomb, |encoder| encoder.write_image(&pixels, side, side, image::ExtendedColorType::Rgba16));
    assert!(fs::metadata(&bomb).unwrap().len() < 1 << 20);
    let predict = |memory: &str| {
        within(3072, &format!("predict --quiet --threads 2 --memory {memory}"), &[&trained.model, &bomb])
    };
    predict("300MiB").says(1, &["4000 × 4000 pixels", "300 MiB of memory for all pictures"]);
    predict("1GiB").ends(0);
}

/// The hint must name what is there, whatever the word looks like.
#[test]
fn a_class_that_looks_like_a_flag_is_a_class() {
    let trained = Trained::new(2);
    for flags in ["--class -1", "--class=-1", "--against -1", "--class 0 --against=-1"] {
        let out = trained.path("out");
        let words = format!("explain {flags} --out");
        let run = heatlens(&words, &[&out, &trained.model, &trained.data]);
        run.says(2, &["no class \"-1\"; the classes are 0, 1"]);
        assert!(!run.stderr.contains("tip:"), "{}", run.stderr);
    }
}

/// A file can hold a name of megabytes; an error that repeats it is cut.
#[test]
fn an_error_is_a_few_lines() {
    let trained = Trained::new(2);
    let labels = trained.path("labels.txt");
    let lines = |text: &str| (text.lines().count(), text.len());
    for name in ["long ".repeat(300_000), "a\u{b}b".repeat(200_000)] {
        fs::write(&labels, format!("{name}\nother\n")).unwrap();
        let words = "explain --class nothing --labels";
        let run = heatlens(words, &[&labels, &trained.model, &trained.data]);
        run.says(2, &["no class \"nothing\"", "more bytes)"]);
        let (count, bytes) = lines(&run.stderr);
        assert!(count <= 20 && bytes < 8_000, "{count} lines, {bytes} bytes");
    }
    let image = trained.path("broken.png");
    fs::write(&image, "a\n".repeat(1_000_000)).unwrap();
    let run = heatlens("predict", &[&trained.model, &image]);
    let (count, bytes) = lines(&run.ends(1));
    assert!(count <= 20 && bytes < 8_000, "{count} lines, {bytes} bytes");
}
