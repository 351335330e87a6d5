//! Output to the terminal, only from this module. A closed pipe (`heatlens methods | head`) is not an error; a full
//! disk for standard output is one, reported by [`finish`].
//!
//! Names of layers, classes and files are untrusted: control characters in them are escaped, so that they cannot move
//! the cursor, change colours or start a new line in an error message.

use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use heatlens::run::with_source;

static QUIET: AtomicBool = AtomicBool::new(false);

/// First error of writing to standard output.
static LOST: Mutex<Option<String>> = Mutex::new(None);

/// Maximum length of a message in characters: a name in a file can have megabytes.
const MOST_LETTERS: usize = 2000;
/// Maximum number of lines of a message.
const MOST_LINES: usize = 20;

/// Disables notes and progress for the rest of the process (`--quiet`).
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Returns true after [`be_quiet`].
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Prints a line of results to standard output.
pub(crate) fn line(text: impl AsRef<str>) {
    written(writeln!(stdout(), "{}", escaped(text.as_ref())));
}

/// Flushes standard output and checks that all results were written.
///
/// # Errors
/// If some results could not be written; the text contains the reason.
pub(crate) fn finish() -> Result<(), String> {
    written(stdout().flush());
    let lost = LOST.lock().map_or(None, |mut lost| lost.take());
    lost.map_or(Ok(()), |reason| Err(format!("cannot write all results to standard output: {reason}")))
}

/// Records the first error; a closed pipe is not an error.
fn written(outcome: std::io::Result<()>) {
    if let (Err(reason), Ok(mut lost)) = (outcome, LOST.lock())
        && reason.kind() != ErrorKind::BrokenPipe
    {
        lost.get_or_insert_with(|| reason.to_string());
    }
}

/// Escapes control characters except line feeds and tabs, and characters that change the text direction.
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

/// Formats a message: indents all lines but the first, and truncates it if it is too long.
fn message(text: &str) -> String {
    let clean = escaped(text).replace('\n', "\n  ");
    let letters = clean.char_indices().nth(MOST_LETTERS).map(|(at, _)| at);
    let lines = clean.match_indices('\n').nth(MOST_LINES - 1).map(|(at, _)| at);
    match letters.into_iter().chain(lines).min() {
        Some(at) => format!("{}… ({} more bytes)", &clean[..at], clean.len() - at),
        None => clean,
    }
}

/// Prints a note to standard error, unless `--quiet` was given.
pub(crate) fn note(text: impl AsRef<str>) {
    progress(format!("note: {}", text.as_ref()));
}

/// Prints a line of progress to standard error, unless `--quiet` was given.
pub(crate) fn progress(text: impl AsRef<str>) {
    if !is_quiet() {
        let _ = writeln!(stderr(), "{}", message(text.as_ref()));
    }
}

/// Makes a write beyond the file size limit (`ulimit -f`) fail like a full disk, with an error that names the file. By
/// default the signal would terminate the program.
pub(crate) fn survive_file_size_limit() {
    #[cfg(unix)]
    {
        let received = std::sync::Arc::default(); // the error of the write is sufficient
        if let Err(reason) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, received) {
            note(format!("a limit on file sizes would end the program at once: {reason}"));
        }
    }
}

/// Prints the error of an image that could not be read, prefixed with its name unless the reason contains it.
pub(crate) fn broken(input: &str, reason: &str) {
    error(with_source(input, reason));
}

/// Prints an error to standard error.
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
        assert_eq!(message(&"line\n".repeat(100)).lines().count(), MOST_LINES);
        let long = message(&"ä".repeat(1_000_000));
        assert!(long.len() < 5000 && long.ends_with("… (1996000 more bytes)"), "{}", long.len());
    }
}
