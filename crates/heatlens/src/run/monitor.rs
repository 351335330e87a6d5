//! What a person sees of a run while it goes on.

/// Told of a run while it goes on: the terminal shows it, a library's user may ignore it.
pub trait Monitor: Sync {
    /// A remark about the model, the images or the methods, in a sentence.
    fn note(&self, text: &str) {
        let _ = text;
    }

    /// A line of results that comes before the work is done, such as how long it will take.
    fn line(&self, text: &str) {
        let _ = text;
    }

    /// An input that cannot be used, and why. The run goes on without it.
    fn broken(&self, input: &str, reason: &str) {
        let _ = (input, reason);
    }

    /// A part of the work begins: `total` things, called `what`.
    fn begin(&self, total: usize, what: &'static str) {
        let _ = (total, what);
    }

    /// So many more are done; `false` asks to stop as soon as what is finished is safe.
    fn advance(&self, count: usize) -> bool {
        let _ = count;
        true
    }

    /// The part that began last is over.
    fn end(&self) {}

    /// Several remarks.
    fn notes(&self, texts: &[String]) {
        texts.iter().for_each(|text| self.note(text));
    }
}

/// Sees nothing and never stops a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Monitor for Unwatched {}

/// A reason that says which input it speaks of, once.
#[must_use]
pub(super) fn named(input: &str, reason: &str) -> String {
    if reason.contains(input) { reason.to_owned() } else { format!("{input}: {reason}") }
}
