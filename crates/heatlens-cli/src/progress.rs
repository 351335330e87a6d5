//! Progress bars on a terminal, plain lines elsewhere, and handling of Ctrl-C.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use heatlens::run::Monitor;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;
use crate::output;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes the first Ctrl-C end the work after the current image or step, and the second end it immediately.
pub(crate) fn watch_for_interrupt() {
    let outcome = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        output::note("stopping after the current step; press Ctrl-C again to stop at once");
    });
    if let Err(reason) = outcome {
        output::note(format!("Ctrl-C will stop the program at once: {reason}"));
    }
}

/// Returns true after Ctrl-C was pressed.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Maximum number of threads on machines with fewer processors: thousands of threads would only wait for each other,
/// for minutes.
const MOST_THREADS: usize = 256;

/// Uses the given number of threads; all processors if `None`.
pub(crate) fn set_threads(threads: Option<usize>) -> Result<(), Failure> {
    let Some(threads) = threads else { return Ok(()) };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let most = processors.max(MOST_THREADS);
    if threads == 0 || threads > most {
        return Err(Failure::usage(format!(
            "--threads {threads}: expected 1 to {most}; this machine runs {processors} at a time"
        )));
    }
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?)
}

/// Progress over a known number of items.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    started: Instant,
    done: AtomicUsize,
    total: usize,
    /// Next tenth at which a plain line is printed.
    tenth: AtomicUsize,
    what: &'static str,
}

impl Bar {
    /// Returns a bar over `total` items called `what`.
    pub(crate) fn new(total: usize, what: &'static str) -> Self {
        let target =
            if output::is_quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        let template = "{bar:30} {pos}/{len} {msg}  {elapsed} elapsed, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self {
            bar,
            started: Instant::now(),
            done: AtomicUsize::new(0),
            total,
            tenth: AtomicUsize::new(1),
            what,
        }
    }

    /// Advances by `count` items.
    pub(crate) fn add(&self, count: usize) {
        let done = self.done.fetch_add(count, Ordering::Relaxed) + count;
        self.bar.inc(count as u64);
        let tenth = self.tenth.load(Ordering::Relaxed);
        // Without a terminal the bar is hidden; a few lines are printed instead.
        if self.bar.is_hidden() && self.started.elapsed().as_secs() >= 5 && done * 10 >= tenth * self.total {
            self.tenth.store(done * 10 / self.total.max(1) + 1, Ordering::Relaxed);
            output::progress(format!("{done} of {} {}", self.total, self.what));
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Reports a run on the terminal.
#[derive(Debug, Default)]
pub(crate) struct Terminal {
    bar: Mutex<Option<Bar>>,
    json: bool,
}

impl Terminal {
    /// Returns a monitor that reserves standard output for JSON, if `json` is set.
    pub(crate) fn beside_json(json: bool) -> Self {
        Self { json, ..Self::default() }
    }
}

impl Monitor for Terminal {
    fn note(&self, text: &str) {
        output::note(text);
    }

    fn line(&self, text: &str) {
        if !self.json {
            output::line(text);
        }
    }

    fn broken(&self, input: &str, reason: &str) {
        output::broken(input, reason);
    }

    fn begin(&self, total: usize, what: &'static str) {
        if let Ok(mut bar) = self.bar.lock() {
            *bar = Some(Bar::new(total, what));
        }
    }

    fn advance(&self, count: usize) -> bool {
        if let Ok(bar) = self.bar.lock() {
            bar.iter().for_each(|bar| bar.add(count));
        }
        !interrupted()
    }

    fn is_stopped(&self) -> bool {
        interrupted()
    }

    fn end(&self) {
        if let Ok(mut bar) = self.bar.lock() {
            bar.take().iter().for_each(Bar::finish);
        }
    }
}
