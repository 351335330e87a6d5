//! What is said of a model before its maps are believed: the same words at the end of `train`, `explain` and `audit`.

use heatlens::explain::Explainer;
use heatlens::gallery::Summary;
use heatlens::trust::audit::{Estimate, Judged, ModelVerdict, judge};
use heatlens::trust::chance::Verdict;

use crate::output;

/// Problems that are told one by one.
const SHOWN: usize = 10;

/// The verdict by the images that were explained, as `audit` has it. It rests on their scores alone: what takes further
/// passes (silent channels) or a look at all images (duplicates) is left to `audit`. Images without labels cannot
/// judge a model; what is wrong with its outputs shows without them.
pub(crate) fn tell_explained(explainer: &Explainer, summary: &Summary) {
    let model = explainer.model();
    let verdict = judge(Judged {
        logits: &summary.logits.concat(),
        labels: &summary.labels,
        head: &model.head,
        class_names: &model.class_names,
        selected_among: 1,
        seed: 0,
    });
    if summary.labels.iter().all(Option::is_none) {
        note_some(&verdict.problems);
        return;
    }
    print(&verdict);
    if verdict.judgement.verdict == Verdict::Learned {
        output::line(
            "If it was trained on these very images, that says little: judge by images it never saw.",
        );
    }
}

/// Whether it knows anything, how well, and what is wrong with it.
pub(crate) fn print(model: &ModelVerdict) {
    output::line(model.judgement.to_string());
    if let (Some(accuracy), Some(calibration)) = (model.accuracy, &model.calibration) {
        let auc = model.auc.map_or(String::new(), |auc| format!(", ROC-AUC {}", interval(auc, 1.0)));
        output::line(format!(
            "right {} %{auc}, calibration error {:.1} points",
            interval(accuracy, 100.0),
            100.0 * calibration.error
        ));
    }
    note_some(&model.problems);
    model.unchecked.iter().for_each(|what| output::note(format!("not checked: {what}")));
}

/// The first of many problems, and how many there are besides: a deep network may have silent channels in every layer.
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
