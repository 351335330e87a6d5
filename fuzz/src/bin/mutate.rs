//! Damages valid files and processes each like the program would.
//!
//! Usage: mutate [--seconds N] [--start SEED] [--found FOLDER] [--only onnx|keras|npy|npz|picture]
//!        mutate --replay FORMAT FILE...
//!
//! Needs no special toolchain. A worker process runs one case after another, each derived from its number alone; this
//! process monitors it (`HEATLENS_FUZZ_TRIP=panic|time|memory` tests the monitoring). Failures are panics, cases of
//! more than 10 seconds of processor time or more than 1 GiB, and crashes: the input is saved to FOLDER (default:
//! `found`), in a subfolder named after the place of the failure, and the worker continues or is restarted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use heatlens_fuzz::corpus::{Format, Sample, samples};
use heatlens_fuzz::random::Random;
use heatlens_fuzz::targets::{self, Place};
use heatlens_fuzz::{keras, mutate, png, wire, zip};

const MOST_SECONDS: u64 = 10;
const MOST_BYTES: usize = 1 << 30;
const OUT_OF_TIME: i32 = 77;

/// Allocator that counts allocated bytes and fails beyond the limit.
struct Guard;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: forwards to the system allocator; counting does not access the memory.
unsafe impl GlobalAlloc for Guard {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if LIVE.fetch_add(layout.size(), Relaxed) + layout.size() > MOST_BYTES {
            LIVE.fetch_sub(layout.size(), Relaxed);
            REFUSED.store(layout.size(), Relaxed);
            return std::ptr::null_mut();
        }
        // SAFETY: same contract as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: same contract as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static GUARD: Guard = Guard;

static CASE: AtomicU64 = AtomicU64::new(0);
/// Value of [`spent`] when the case began; 0 between cases.
static BEGAN: AtomicU64 = AtomicU64::new(0);
static PANIC: Mutex<String> = Mutex::new(String::new());

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1));
    let number = |name: &str, default: u64| value(name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let found = PathBuf::from(value("--found").map_or("found", String::as_str));
    let only = value("--only").map(String::as_str);
    if arguments.first().is_some_and(|a| a == "--replay") {
        return replay(&arguments[1..]);
    }
    let all: Vec<Sample> = samples(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .into_iter()
        .filter(|s| only.is_none_or(|only| format!("{:?}", s.format).eq_ignore_ascii_case(only)))
        .collect();
    if all.is_empty() {
        eprintln!("no samples of {only:?}");
        return ExitCode::from(2);
    }
    if arguments.first().is_some_and(|a| a == "--worker") {
        return work(&all, number("--start", 0), number("--seconds", 60), &found);
    }
    watch(&all, number("--start", 0), number("--seconds", 60), &found, only)
}

/// Returns the damaged file of a case.
fn case(all: &[Sample], seed: u64) -> (Sample, Vec<u8>) {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    // Models are the most complex formats and are chosen most often.
    let wanted =
        *random.of(&[Format::Onnx, Format::Keras, Format::Keras, Format::Npy, Format::Npz, Format::Picture]);
    let models: Vec<&Sample> = all.iter().filter(|s| s.format == wanted).collect();
    let pick = if models.is_empty() { random.of(all) } else { random.of(&models) };
    let other = random.of(all);
    let mut bytes = pick.bytes.clone();
    match pick.format {
        Format::Onnx if random.below(5) > 0 => {
            let donor = if other.format == Format::Onnx { other } else { pick };
            if let Some(damaged) = wire::structure(&mut random, &bytes, &donor.bytes) {
                bytes = damaged;
            }
        }
        Format::Keras => bytes = keras::damage(&mut random, &bytes, &other.bytes),
        Format::Picture if random.below(4) == 0 && png::unfold(&mut random, &mut bytes) => {}
        Format::Npz if random.below(3) > 0 => {
            if let Some(mut files) = zip::unpack(&bytes) {
                let which = random.below(files.len());
                if let Some((_, file)) = files.get_mut(which) {
                    mutate::bytes(&mut random, file, &other.bytes);
                }
                let lie = if random.below(4) == 0 { random.integer() as u32 } else { 0 };
                bytes = zip::pack(&files, lie);
            }
        }
        _ => mutate::bytes(&mut random, &mut bytes, &other.bytes),
    }
    (pick.clone(), bytes)
}

fn run(place: &Place, format: Format, name: &str, bytes: &[u8]) {
    trip();
    match format {
        Format::Onnx => targets::onnx(place, bytes),
        Format::Keras => targets::keras(place, bytes),
        Format::Npy | Format::Npz | Format::Picture => targets::data(place, name, bytes),
    }
}

/// Fails on purpose in every thousandth case, in the way named by `HEATLENS_FUZZ_TRIP`, to test the monitoring.
fn trip() {
    if CASE.load(Relaxed) % 1000 != 999 {
        return;
    }
    match env::var("HEATLENS_FUZZ_TRIP").as_deref() {
        Ok("panic") => panic!("on purpose"),
        Ok("time") => while spent() < BEGAN.load(Relaxed) + MOST_SECONDS * 2000 {},
        Ok("memory") => drop(std::hint::black_box(vec![1u8; MOST_BYTES])),
        _ => {}
    }
}

/// Returns the processor time used by this process in milliseconds, so that a busy machine does not cause failures;
/// elapsed time if the system does not report it.
fn spent() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    const MILLISECONDS_A_TICK: u64 = 10;
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<u64> =
        after_name.split_ascii_whitespace().skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
    match ticks.as_slice() {
        [user, system] => (user + system) * MILLISECONDS_A_TICK,
        _ => START.elapsed().as_millis() as u64,
    }
}

/// Ends this process if a case exceeds the limit of processor time or sleeps for too long.
fn watch_time(progress: PathBuf) {
    thread::spawn(move || {
        let (mut case, mut since_case) = (0, Instant::now());
        loop {
            thread::sleep(Duration::from_millis(200));
            let (began, now) = (BEGAN.load(Relaxed), CASE.load(Relaxed));
            if now != case || began == 0 {
                (case, since_case) = (now, Instant::now());
            }
            let asleep = since_case.elapsed() > Duration::from_secs(MOST_SECONDS * 20);
            if began > 0 && (spent() > began + MOST_SECONDS * 1000 || asleep) {
                let _ = fs::write(&progress, format!("{now} time {}", targets::current_step()));
                std::process::exit(OUT_OF_TIME);
            }
        }
    });
}

fn progress_file(found: &Path) -> PathBuf {
    found.join("progress")
}

/// Runs cases until the time is over, unless it crashes.
fn work(all: &[Sample], start: u64, seconds: u64, found: &Path) -> ExitCode {
    let Ok(place) = Place::new() else { return ExitCode::from(2) };
    // Pictures may be as large as what a case may take allows, not as large as the machine allows.
    heatlens::data::set_memory_budget(MOST_BYTES as u64 / 2);
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("?");
        if let Ok(mut text) = PANIC.lock() {
            *text = format!("{place} {what}");
        }
    }));
    let began = Instant::now();
    watch_time(progress_file(found));
    let mut seed = start;
    while began.elapsed() < Duration::from_secs(seconds) {
        let (sample, bytes) = case(all, seed);
        CASE.store(seed, Relaxed);
        let _ = fs::write(progress_file(found), format!("{seed} crash"));
        BEGAN.store(spent() + 1, Relaxed);
        let outcome = panic::catch_unwind(|| run(&place, sample.format, &sample.name, &bytes));
        BEGAN.store(0, Relaxed);
        if outcome.is_err() {
            let what = PANIC.lock().map(|t| t.clone()).unwrap_or_default();
            keep(found, &what, &sample, &bytes, seed);
        }
        seed += 1;
    }
    let _ = fs::write(progress_file(found), format!("{seed} done"));
    eprintln!("steps begun by this worker: {}", targets::reached());
    ExitCode::SUCCESS
}

/// Saves an input in a folder named after the place of its failure, at most three per place.
fn keep(found: &Path, what: &str, sample: &Sample, bytes: &[u8], seed: u64) {
    let place: String = what.split(' ').next().unwrap_or("").chars().rev().take(60).collect();
    let place: String = place.chars().rev().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let folder = found.join(place);
    let count = fs::read_dir(&folder).map_or(0, Iterator::count);
    if count >= 6 || fs::create_dir_all(&folder).is_err() {
        return;
    }
    let _ = fs::write(folder.join(format!("{seed}_{}", sample.name)), bytes);
    let _ =
        fs::write(folder.join(format!("{seed}.txt")), format!("{what}\nstep: {}\n", targets::current_step()));
    eprintln!("case {seed} ({}): {what} [{}]", sample.name, targets::current_step());
}

/// Starts workers until the time is over, and saves the inputs that terminate them.
fn watch(all: &[Sample], start: u64, seconds: u64, found: &Path, only: Option<&str>) -> ExitCode {
    let Ok(program) = env::current_exe() else { return ExitCode::from(2) };
    let _ = fs::create_dir_all(found);
    let began = Instant::now();
    let mut next = start;
    let mut deaths: BTreeMap<String, u64> = BTreeMap::new();
    while began.elapsed().as_secs() < seconds {
        let left = seconds - began.elapsed().as_secs();
        let mut command = Command::new(&program);
        command
            .args(["--worker", "--start", &next.to_string(), "--seconds", &left.to_string(), "--found"])
            .arg(found);
        command.args(only.iter().flat_map(|o| ["--only", o])).env("RAYON_NUM_THREADS", "1");
        let Ok(status) = command.status() else { return ExitCode::from(2) };
        let text = fs::read_to_string(progress_file(found)).unwrap_or_default();
        let mut words = text.split(' ');
        let seed: u64 = words.next().and_then(|w| w.parse().ok()).unwrap_or(next);
        if status.success() {
            next = seed;
            continue;
        }
        let how = words.next().unwrap_or("crash");
        let what = format!("{how}_{} {status} {}", words.next().unwrap_or("unknown"), text.trim());
        *deaths.entry(how.to_owned()).or_default() += 1;
        let (sample, bytes) = case(all, seed);
        keep(found, &what, &sample, &bytes, seed);
        next = seed + 1;
    }
    let folders =
        fs::read_dir(found).map_or(0, |entries| entries.flatten().filter(|e| e.path().is_dir()).count());
    println!(
        "{} cases in {} s (numbers {start} to {next}); {folders} places of failure in {}; the worker died of {deaths:?}",
        next - start,
        began.elapsed().as_secs(),
        found.display()
    );
    if folders == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs files unmodified and without monitoring.
fn replay(arguments: &[String]) -> ExitCode {
    let Some((format, files)) = arguments.split_first() else { return ExitCode::from(2) };
    let format = match format.as_str() {
        "onnx" => Format::Onnx,
        "keras" => Format::Keras,
        "npy" => Format::Npy,
        "npz" => Format::Npz,
        _ => Format::Picture,
    };
    let Ok(place) = Place::new() else { return ExitCode::from(2) };
    for file in files {
        let Ok(bytes) = fs::read(file) else { return ExitCode::from(2) };
        let began = Instant::now();
        let name = Path::new(file).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        run(&place, format, &name, &bytes);
        let _ = writeln!(std::io::stdout(), "{file}: {} ms", began.elapsed().as_millis());
    }
    ExitCode::SUCCESS
}
