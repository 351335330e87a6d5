//! What is said of a model before its maps are believed: the same words at the end of `train`, `explain` and `audit`.

use heatlens::explain::Explainer;
use heatlens::gallery::Summary;
use heatlens::trust::audit::{Estimate, Judged, ModelVerdict, judge};
use heatlens::trust::chance::Verdict;

use crate::output;

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
        verdict.problems.iter().for_each(output::note);
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
    model.problems.iter().for_each(output::note);
    model.unchecked.iter().for_each(|what| output::note(format!("not checked: {what}")));
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
