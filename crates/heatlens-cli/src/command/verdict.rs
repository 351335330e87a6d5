//! Verdict on a model, worded identically at the end of `train`, `explain` and `audit`.

use heatlens::trust::audit::ModelVerdict;
use heatlens::trust::significance::Verdict;

use crate::output;

/// Maximum number of problems listed.
const SHOWN: usize = 10;

/// Prints the verdict based on the explained images. Without labels the model cannot be judged, but problems of its
/// outputs are still reported.
pub(crate) fn tell_explained(verdict: &ModelVerdict) {
    if verdict.judgement.images == 0 {
        note_some(&verdict.problems);
        return;
    }
    print(verdict);
    if verdict.judgement.verdict == Verdict::Learned {
        output::line("These figures are valid only if the model was not trained on these images.");
    }
}

/// Prints accuracy, significance, limitations, rates, and problems of the model.
pub(crate) fn print(model: &ModelVerdict) {
    model.sentences().iter().for_each(output::line);
    if let Some(details) = model.details() {
        output::line(details);
    }
    note_some(&model.problems);
    model.unchecked.iter().for_each(|what| output::note(format!("not checked: {what}")));
}

/// Prints the first problems, and the number of further ones.
fn note_some(problems: &[String]) {
    problems.iter().take(SHOWN).for_each(output::note);
    if let more @ 1.. = problems.len().saturating_sub(SHOWN) {
        output::note(format!("and {more} more; `heatlens audit` lists them all in audit.json"));
    }
}
