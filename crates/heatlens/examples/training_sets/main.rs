//! Success rate of `heatlens train FOLDER --out RUN` on held-out images: docs/training.md.
//!
//! Generates small data sets of twelve kinds as image folders, trains on each without further options, and measures
//! the accuracy on held-out images from the same generator.
//!
//! ```sh
//! cargo build --release
//! cargo run --release --example training_sets -- target/release/heatlens
//! ```
//!
//! Options after the program's path: `--seeds 5`, `--only castings,tiny`, `--shuffled` (random labels, from which
//! nothing can be learned), `--write FOLDER` (write the images there without training), and after `--` options for
//! `train`.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic)] // a script, which stops at the first error
#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod sets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use heatlens::random::{Key, Use};
use image::{DynamicImage, GrayImage, RgbImage};
use sets::{Canvas, KINDS, Kind};

/// Number of held-out images.
const HELD_OUT: usize = 200;
/// Number of held-out images for data sets of large images.
const HELD_OUT_LARGE: usize = 60;
const CLASSES: [&str; 2] = ["no", "yes"];

struct Options {
    program: PathBuf,
    seeds: u64,
    only: Vec<String>,
    shuffled: bool,
    write: Option<PathBuf>,
    flags: Vec<String>,
}

impl Options {
    fn parse() -> Self {
        let mut words = std::env::args().skip(1);
        let program = words.next().unwrap_or_else(|| panic!("expected the path of heatlens")).into();
        let mut options =
            Self { program, seeds: 5, only: Vec::new(), shuffled: false, write: None, flags: Vec::new() };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seeds" => options.seeds = words.next().unwrap().parse().unwrap(),
                "--only" => options.only = words.next().unwrap().split(',').map(str::to_owned).collect(),
                "--shuffled" => options.shuffled = true,
                "--write" => options.write = Some(words.next().unwrap().into()),
                "--" => options.flags = words.by_ref().collect(),
                other => panic!("{other}: expected --seeds, --only, --shuffled, --write or --"),
            }
        }
        options
    }
}

/// Results of a run on held-out images.
struct Outcome {
    accuracy: f64,
    balanced: f64,
    verdict: String,
    epochs: u64,
    seconds: f64,
}

fn main() {
    let options = Options::parse();
    println!("kind,seed,accuracy,balanced_accuracy,verdict,epochs,seconds");
    let mut all: Vec<(&Kind, Vec<Outcome>)> = Vec::new();
    for kind in KINDS.iter().filter(|k| options.only.is_empty() || options.only.iter().any(|o| o == k.name)) {
        let mut outcomes = Vec::new();
        for seed in 0..options.seeds {
            if let Some(folder) = &options.write {
                write(kind, seed, &folder.join(kind.name.replace(' ', "-")).join(seed.to_string()), false);
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            write(kind, seed, folder.path(), options.shuffled);
            let o = train_and_judge(&options, folder.path());
            let (accuracy, balanced) = (100.0 * o.accuracy, 100.0 * o.balanced);
            println!(
                "{},{seed},{accuracy:.1},{balanced:.1},{},{},{:.1}",
                kind.name, o.verdict, o.epochs, o.seconds
            );
            outcomes.push(o);
        }
        all.push((kind, outcomes));
    }
    summarise(&all);
}

/// Writes `data/` for training and `held-out/`, each with one sub-folder per class.
fn write(kind: &Kind, seed: u64, folder: &Path, shuffled: bool) {
    let held_out = if kind.name == "large" { HELD_OUT_LARGE } else { HELD_OUT };
    // The class balance is the same in both, and so is the number of positives.
    let mut classes: Vec<usize> = (0..kind.images).map(|index| kind.class(index)).collect();
    if shuffled {
        Key::new(seed, Use::Shuffle).rng().shuffle(&mut classes);
    }
    for index in 0..kind.images + held_out {
        let canvas = kind.image(seed, index);
        let (part, class) = match classes.get(index) {
            Some(&class) => ("data", class),
            None => ("held-out", kind.class(index)),
        };
        let class = folder.join(part).join(CLASSES[class]);
        fs::create_dir_all(&class).unwrap();
        let ending = if canvas.width > 1000 { "jpg" } else { "png" };
        picture(&canvas).save(class.join(format!("{index:04}.{ending}"))).unwrap();
    }
}

fn picture(canvas: &Canvas) -> DynamicImage {
    let bytes: Vec<u8> = canvas.values.iter().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
    let (w, h) = (canvas.width as u32, canvas.height as u32);
    match canvas.channels {
        1 => DynamicImage::ImageLuma8(GrayImage::from_raw(w, h, bytes).unwrap()),
        _ => DynamicImage::ImageRgb8(RgbImage::from_raw(w, h, bytes).unwrap()),
    }
}

fn train_and_judge(options: &Options, folder: &Path) -> Outcome {
    let (data, run) = (folder.join("data"), folder.join("run"));
    let started = Instant::now();
    let trained = Command::new(&options.program)
        .arg("train")
        .args([&data, Path::new("--out"), &run])
        .args(&options.flags)
        .output()
        .unwrap();
    let seconds = started.elapsed().as_secs_f64();
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let metrics: serde_json::Value =
        serde_json::from_slice(&fs::read(run.join("metrics.json")).unwrap()).unwrap();
    let predicted = Command::new(&options.program)
        .arg("predict")
        .args([run.join("model.onnx"), folder.join("held-out")])
        .output()
        .unwrap();
    assert!(predicted.status.success(), "{}", String::from_utf8_lossy(&predicted.stderr));
    // Columns input,index,label,predicted,…: correct predictions and images by label.
    let mut counts = [[0u32; 2]; 2];
    for line in String::from_utf8(predicted.stdout).unwrap().lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let class = CLASSES.iter().position(|c| *c == cells[2]).unwrap();
        counts[class][0] += u32::from(cells[2] == cells[3]);
        counts[class][1] += 1;
    }
    let share = |[right, all]: [u32; 2]| f64::from(right) / f64::from(all);
    Outcome {
        accuracy: share([counts[0][0] + counts[1][0], counts[0][1] + counts[1][1]]),
        balanced: (share(counts[0]) + share(counts[1])) / 2.0,
        verdict: metrics["verdict"].as_str().unwrap().to_owned(),
        epochs: metrics["epochs"].as_u64().unwrap(),
        seconds,
    }
}

/// Prints a table of the kinds in Markdown.
fn summarise(all: &[(&Kind, Vec<Outcome>)]) {
    println!(
        "\n| kind | what tells the classes apart | images | held-out accuracy of each seed, % | median s |"
    );
    println!("|---|---|---|---|---|");
    let (mut good, mut runs) = (0, 0);
    for (kind, outcomes) in all.iter().filter(|(_, outcomes)| !outcomes.is_empty()) {
        // If one class is rare, the majority-class baseline must not score well.
        let score =
            |o: &Outcome| 100.0 * if kind.every > 2 { o.balanced.min(o.accuracy) } else { o.accuracy };
        good += outcomes.iter().filter(|o| score(o) >= 95.0).count();
        runs += outcomes.len();
        let scores: Vec<String> = outcomes.iter().map(|o| format!("{:.0}", score(o))).collect();
        let mut seconds: Vec<f64> = outcomes.iter().map(|o| o.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let median = seconds[seconds.len() / 2];
        println!(
            "| {} | {} | {} | {} | {median:.0} |",
            kind.name,
            kind.summary,
            kind.images,
            scores.join(", ")
        );
    }
    let verdicts = |id: &str| all.iter().flat_map(|(_, o)| o).filter(|o| o.verdict == id).count();
    println!(
        "\n{good} of {runs} reach 95 %; verdicts: {} learned, {} chance",
        verdicts("learned"),
        verdicts("chance")
    );
}
