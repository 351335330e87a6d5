//! The audit as text for the terminal.

use std::fmt::Write as _;

use heatlens::method;
use heatlens::metric;
use heatlens::trust::audit::{Audit, MethodAudit};
use heatlens::trust::literature;
use serde_json::Value;

use crate::command::verdict::{self, interval};
use crate::output;

/// Metrics shown in the table, with their column titles.
const COLUMNS: [(&str, &str); 7] = [
    ("deletion", "deletion ↓"),
    ("insertion", "insertion ↑"),
    ("road_combined", "ROAD ↑"),
    ("average_drop", "drop ↓"),
    ("max_sensitivity", "sensit. ↓"),
    ("energy_pointing", "on object ↑"),
    ("pointing_game", "hits ↑"),
];

/// Prints the audit. `trained` is the result from training, if the audited images cannot be used to judge the model.
pub(super) fn print(audit: &Audit, trained: Option<&str>) {
    output::line("");
    verdict::print(&audit.model);
    if let Some(sentence) = trained {
        output::line(format!("When it was trained: {sentence}"));
    }
    let columns: Vec<(&str, &str)> = COLUMNS
        .into_iter()
        .filter(|(id, _)| {
            audit.methods.iter().any(|m| m.metrics.contains_key(*id)) && metric::find(id).is_some()
        })
        .collect();
    let silent = |id: &str| audit.uninformative.iter().any(|known| known == id);
    let mut head = format!("\n{:<24} {:>18}", "method", "better than others");
    columns.iter().for_each(|(id, title)| {
        let title = if silent(id) { format!("({title})") } else { (*title).to_owned() };
        let _ = write!(head, " {title:>13}");
    });
    output::line(format!("{head} {:>10}  verdict", "kept"));
    audit.methods.iter().for_each(|m| output::line(row(m, &columns)));
    output::line(format!(
        "\nmeans over {} images with 95 % intervals; ↑ higher is better, ↓ lower is better\nbetter than others: share of the other methods beaten on the faithfulness metrics, image by image",
        audit.images
    ));
    for (id, title) in &columns {
        if let Some(metric) = metric::find(id) {
            output::line(format!("{}: {}", title.trim_end_matches(['↑', '↓', ' ']), metric.summary));
        }
    }
    output::line(
        "kept: similarity of the map after randomising the weights (0 % = unrelated, 100 % = unchanged); significantly above 33 % → ignores-model",
    );
    if columns.iter().any(|(id, _)| silent(id)) {
        output::line(
            "(in brackets): uninformative on this model, as all methods, random maps included, score the \
             same within noise; not counted",
        );
    }
    let methods = audit.methods.iter().filter(|m| !m.control).filter_map(|m| method::find(&m.id).ok());
    methods
        .filter(|m| m.caution.is_some_and(literature::is_finding))
        .filter_map(|m| literature::sentence(m, Some(audit)))
        .for_each(output::line);
    audit.notes.iter().for_each(output::note);
    audit.shortcuts.iter().for_each(|found| output::note(shortcut(found)));
    audit.always_looked_at.iter().for_each(|found| output::note(habit(found)));
    print_times(audit);
    match audit.best() {
        Some(best) => {
            output::line(format!("\nrecommended: {} ({}): {}", best.title, best.id, best.verdict.sentence()));
        }
        None => output::line("\nrecommended: none"),
    }
}

/// Describes a region that a class depends on, in a sentence.
fn shortcut(found: &Value) -> String {
    let [class, place] = ["class", "place"].map(|key| found[key].as_str().unwrap_or_default());
    format!(
        "a shortcut? Filling the place in removes the evidence for the class. In {} of {} images predicted \
         as {class:?} the heat lies in {place}, in other classes in {} of {}; for example {}",
        found["images"],
        found["of"],
        found["in_other_classes"],
        found["of_others"],
        found["exemplars"][0].as_str().unwrap_or_default(),
    )
}

/// Describes a region that is often highlighted but that the class does not depend on, in a sentence.
fn habit(found: &Value) -> String {
    let [class, place] = ["class", "place"].map(|key| found[key].as_str().unwrap_or_default());
    format!(
        "in {} of {} images predicted as {class:?} the heat lies in {place}, but the prediction does not \
         depend on what is there",
        found["images"], found["of"]
    )
}

fn row(method: &MethodAudit, columns: &[(&str, &str)]) -> String {
    let score = if method.score.images > 0 { interval(method.score, 100.0) } else { "–".to_owned() };
    let mut line = format!("{:<24} {score:>18}", method.title);
    for (id, _) in columns {
        let value = method.metrics.get(*id).map_or("–".to_owned(), |e| format!("{:.3}", e.mean));
        let _ = write!(line, " {value:>13}");
    }
    let kept = method
        .randomisation
        .as_ref()
        .map_or("–".to_owned(), |r| format!("{:.0} %", 100.0 * r.share_kept()));
    let verdict = if method.control { "control".to_owned() } else { method.verdict.id().to_owned() };
    format!("{line} {kept:>10}  {verdict}")
}

fn print_times(audit: &Audit) {
    let total: f64 = audit.seconds.values().sum();
    if total <= 0.0 {
        return;
    }
    let mut parts: Vec<(&String, &f64)> = audit.seconds.iter().collect();
    parts.sort_by(|a, b| b.1.total_cmp(a.1));
    let shares: Vec<String> =
        parts.iter().map(|(part, s)| format!("{part} {:.0} %", 100.0 * **s / total)).collect();
    output::line(format!("{total:.0} s: {}", shares.join(", ")));
}
