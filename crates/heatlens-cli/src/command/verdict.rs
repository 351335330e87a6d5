//! The verdict on a model, in the same words at the end of `train`, `explain` and `audit`.

use heatlens::stats::Estimate;
use heatlens::trust::audit::ModelVerdict;
use heatlens::trust::chance::Verdict;

use crate::output;

/// Problems that are told one by one.
const SHOWN: usize = 10;

/// Prints the verdict by the images that were explained. Images without labels cannot judge a model; what is wrong with its outputs shows without them.
pub(crate) fn tell_explained(verdict: &ModelVerdict) {
    if verdict.judgement.images == 0 {
        note_some(&verdict.problems);
        return;
    }
    print(verdict);
    if verdict.judgement.verdict == Verdict::Learned {
        output::line("These figures count only if the model was not trained on these images.");
    }
}

/// Accuracy, significance, what limits them, rates, and what is wrong with the model.
pub(crate) fn print(model: &ModelVerdict) {
    model.sentences().iter().for_each(output::line);
    if let Some(details) = model.details() {
        output::line(details);
    }
    note_some(&model.problems);
    model.unchecked.iter().for_each(|what| output::note(format!("not checked: {what}")));
}

/// The first of many problems, and how many there are besides.
fn note_some(problems: &[String]) {
    problems.iter().take(SHOWN).for_each(output::note);
    if let more @ 1.. = problems.len().saturating_sub(SHOWN) {
        output::note(format!("and {more} more; `heatlens audit` lists them all in audit.json"));
    }
}

/// A mean with its interval, where it has one.
pub(crate) fn interval(estimate: Estimate, factor: f64) -> String {
    let digits = if factor > 1.0 { 0 } else { 2 };
    let [mean, low, high] = [estimate.mean, estimate.low, estimate.high].map(|v| v * factor);
    if low.is_finite() {
        format!("{mean:.digits$} [{low:.digits$}, {high:.digits$}]")
    } else {
        format!("{mean:.digits$}")
    }
}
