//! The one place that writes to the terminal. A closed pipe (`heatlens methods | head`) is no error; a full disk behind
//! standard output is one, told by [`finish`].
//!
//! Names of layers, classes and files come from others: control characters in them are written as escapes, so that none can
//! move the cursor, colour the screen or begin a line of its own in an error.

use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

static QUIET: AtomicBool = AtomicBool::new(false);

/// Why standard output lacks something, if it does.
static LOST: Mutex<Option<String>> = Mutex::new(None);

/// Longer messages are cut: a file can hold a name of megabytes.
const MOST_LETTERS: usize = 4000;

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
    written(writeln!(stdout(), "{}", escaped(text.as_ref())));
}

/// Makes sure that all results have been written to standard output.
///
/// # Errors
/// If some have not: the text says why.
pub(crate) fn finish() -> Result<(), String> {
    written(stdout().flush());
    let lost = LOST.lock().map_or(None, |mut lost| lost.take());
    lost.map_or(Ok(()), |reason| Err(format!("cannot write all results to standard output: {reason}")))
}

/// Remembers the first failure; a reader that wants no more is none.
fn written(outcome: std::io::Result<()>) {
    if let (Err(reason), Ok(mut lost)) = (outcome, LOST.lock())
        && reason.kind() != ErrorKind::BrokenPipe
    {
        lost.get_or_insert_with(|| reason.to_string());
    }
}

/// The text with control characters, line feeds and tabs apart, and marks that reverse the direction of writing, as escapes.
fn escaped(text: &str) -> String {
    let dangerous = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if dangerous(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    clean
}

/// A message in which no line but the first begins at the left, cut where it is far too long.
fn message(text: &str) -> String {
    let clean = escaped(text).replace('\n', "\n  ");
    match clean.char_indices().nth(MOST_LETTERS) {
        Some((at, _)) => format!("{}… ({} more bytes)", &clean[..at], clean.len() - at),
        None => clean,
    }
}

/// Prints a remark to standard error, unless `--quiet` was given.
pub(crate) fn note(text: impl AsRef<str>) {
    progress(format!("note: {}", text.as_ref()));
}

/// Prints a line of progress to standard error, unless `--quiet` was given.
pub(crate) fn progress(text: impl AsRef<str>) {
    if !is_quiet() {
        let _ = writeln!(stderr(), "{}", message(text.as_ref()));
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
    let _ = writeln!(stderr(), "error: {}", message(text.as_ref()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_write_to_the_terminal_for_us() {
        assert_eq!(escaped("a\u{1b}[31mb\rc\u{202e}d\te"), "a\\u{1b}[31mb\\rc\\u{202e}d\te");
        assert_eq!(message("no layer \"x\nerror: forged\""), "no layer \"x\n  error: forged\"");
        let long = message(&"ä".repeat(1_000_000));
        assert!(long.len() < 9000 && long.ends_with("… (1992000 more bytes)"), "{}", long.len());
    }
}
