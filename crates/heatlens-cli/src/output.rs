//! The one place that writes to the terminal. A closed pipe (`heatlens methods | head`) is no error.

use std::io::{Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

static QUIET: AtomicBool = AtomicBool::new(false);

/// Turns notes and progress off for the rest of the process (`--quiet`).
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Returns true after [`be_quiet`].
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A line of results, to standard output.
pub(crate) fn line(text: impl AsRef<str>) {
    let _ = writeln!(stdout(), "{}", text.as_ref());
}

/// Prints a remark to standard error, unless `--quiet` was given.
pub(crate) fn note(text: impl AsRef<str>) {
    progress(format!("note: {}", text.as_ref()));
}

/// Prints a line of progress to standard error, unless `--quiet` was given.
pub(crate) fn progress(text: impl AsRef<str>) {
    if !is_quiet() {
        let _ = writeln!(stderr(), "{}", text.as_ref());
    }
}

/// Lets a write beyond the limit on file sizes (`ulimit -f`) fail as on a full disk, with an error that
/// names the file. Unhandled, the signal would end the program there and then.
pub(crate) fn survive_file_size_limit() {
    #[cfg(unix)]
    {
        let received = std::sync::Arc::default(); // the failed write itself says all there is to say
        if let Err(reason) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, received) {
            note(format!("a limit on file sizes would end the program at once: {reason}"));
        }
    }
}

/// An image that could not be read; its name comes first unless the reason has it already.
pub(crate) fn broken(input: &str, reason: &str) {
    error(named(input, reason));
}

/// A reason that says which input it speaks of, once.
pub(crate) fn named(input: &str, reason: &str) -> String {
    if reason.contains(input) { reason.to_owned() } else { format!("{input}: {reason}") }
}

/// What went wrong, to standard error.
pub(crate) fn error(text: impl AsRef<str>) {
    let _ = writeln!(stderr(), "error: {}", text.as_ref());
}
