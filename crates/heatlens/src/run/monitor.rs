//! Progress of a run.

/// Receiver of a run's messages and progress. The terminal displays them; library users may ignore them.
pub trait Monitor: Sync {
    /// Receives a remark, one sentence about the model, the images or the methods.
    fn note(&self, text: &str) {
        let _ = text;
    }

    /// Receives a line of output before the work is done, such as the expected duration.
    fn line(&self, text: &str) {
        let _ = text;
    }

    /// Receives an input that cannot be used, and the reason. The run continues without it.
    fn broken(&self, input: &str, reason: &str) {
        let _ = (input, reason);
    }

    /// Called when a stage of the work begins: `total` items, described by `what`.
    fn begin(&self, total: usize, what: &'static str) {
        let _ = (total, what);
    }

    /// Called when `count` more items are done. Returning `false` requests a stop as soon as finished work is saved.
    fn advance(&self, count: usize) -> bool {
        let _ = count;
        true
    }

    /// Returns true to stop before the image in progress is finished, which is then not saved.
    fn is_stopped(&self) -> bool {
        false
    }

    /// Called at the end of the stage that began last.
    fn end(&self) {}

    /// Receives several remarks.
    fn notes(&self, texts: &[String]) {
        texts.iter().for_each(|text| self.note(text));
    }
}

/// Monitor that ignores everything and never stops a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMonitor;

impl Monitor for NoMonitor {}

/// Returns a reason prefixed with the input's name, unless it contains the name already.
#[must_use]
pub fn with_source(input: &str, reason: &str) -> String {
    if reason.contains(input) { reason.to_owned() } else { format!("{input}: {reason}") }
}
