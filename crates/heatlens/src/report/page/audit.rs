//! The audit section: which methods to trust.

use maud::{Markup, html};

use super::plot::IntervalBar;
use super::{scroll, tone};
use crate::report::parts::Tone;
use crate::trust::audit::{Audit, Column, MethodAudit, MethodVerdict};

/// Number of problems shown at once; the rest is folded.
const SHOWN: usize = 10;

/// Renders the table of methods.
pub(super) fn section(audit: &Audit) -> Markup {
    let (columns, problems) = (audit.columns(), &audit.model.problems);
    html! {
        section #methods {
            h2 { "Which method to trust on this model" }
            p.muted { "A method is faithful if its maps predict better than controls (noise, edges, the centre) which pixels the score depends on." }
            @for sentence in sentences(audit) { p { (sentence) } }
            @if !problems.is_empty() {
                details {
                    summary { "What else was found in the model and the images (" (problems.len()) ")" }
                    ul { @for problem in problems.iter().take(SHOWN) { li { (problem) } } }
                    @let more = problems.len().saturating_sub(SHOWN);
                    @if more > 0 {
                        details {
                            summary { "and " (more) " more" }
                            ul { @for problem in problems.iter().skip(SHOWN) { li { (problem) } } }
                        }
                    }
                }
            }
            @if let Some(best) = audit.best() {
                p.recommended { b { "Recommended: " (best.title) ":" } " " (best.verdict.sentence()) "." }
            }
            (scroll("Methods and their metrics", &html! {
                table.numbers.audit {
                    thead { tr {
                        th scope="col" { "method" }
                        @for column in &columns {
                            th.silent[column.uninformative] scope="col" title=(column.meaning) { (title(column)) }
                        }
                    } }
                    tbody { @for (at, method) in audit.methods.iter().enumerate() { (row(&columns, at, method)) } }
                }
            }))
            dl.meanings {
                @for (verdict, sentence) in verdicts(audit) { div { dt { (verdict) } dd { (sentence) } } }
                @for column in &columns { div { dt { (column.name) } dd { (column.meaning) @if column.uninformative { ". " b { "Uninformative \
                    on this model: " } "all methods, random maps included, score the same within noise, so \
                        it is not counted" } } } }
            }
        }
    }
}

fn sentences(audit: &Audit) -> Vec<String> {
    let mut sentences = vec![format!("Measured on {} images, with 95 % intervals.", audit.images)];
    if audit.recommended.is_none() {
        sentences.push("No method is recommended.".to_owned());
    }
    let words = |n: &&String| !n.starts_with("no method is recommended: there is no evidence");
    sentences.extend(audit.notes.iter().filter(words).map(|note| capitalised(note)));
    sentences
}

/// Returns a note as a complete sentence.
fn capitalised(note: &str) -> String {
    let mut letters = note.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if note.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

/// Renders a column's title, with its arrow kept on the same line as the last word.
fn title(column: &Column) -> Markup {
    let (words, last) = column.name.rsplit_once(' ').unwrap_or(("", column.name));
    html! {
        @if !words.is_empty() { (words) " " }
        span.together { (last) (column.arrow()) }
        @if column.uninformative { span.layer { "uninformative here" } }
    }
}

/// Returns a method's verdict as a few words, a sentence and a tone.
fn verdict(method: &MethodAudit) -> (&'static str, &'static str, Tone) {
    if method.control {
        return ("control", "ignores the model by design: an explanation must beat it", Tone::Unsure);
    }
    let tone = match method.verdict {
        MethodVerdict::Faithful => Tone::Good,
        MethodVerdict::Weak => Tone::Unsure,
        MethodVerdict::IgnoresModel => Tone::Bad,
    };
    (method.verdict.words(), method.verdict.sentence(), tone)
}

/// Returns each verdict that occurs in the table once, with its meaning.
fn verdicts(audit: &Audit) -> Vec<(&'static str, &'static str)> {
    let mut known: Vec<(&str, &str)> = Vec::new();
    for (words, sentence, _) in audit.methods.iter().map(verdict) {
        if known.iter().all(|(verdict, _)| *verdict != words) {
            known.push((words, sentence));
        }
    }
    known
}

fn row(columns: &[Column], at: usize, method: &MethodAudit) -> Markup {
    let (words, sentence, taken) = verdict(method);
    html! {
        tr.control[method.control] {
            th scope="row" {
                span { (method.title) }
                span.badge.(tone(taken)) title=(sentence) { (words) }
            }
            @for column in columns {
                td.silent[column.uninformative] { @match column.cells.get(at).copied().flatten() {
                    Some(cell) => { (IntervalBar { cell, percent: column.percent, range: column.range() }) },
                    None => "–",
                } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Better;
    use crate::stats::MeanEstimate;

    fn method(id: &str, control: bool, verdict: MethodVerdict, deletion: Option<f64>) -> MethodAudit {
        let estimate = |mean| MeanEstimate { mean, low: mean - 0.125, high: mean + 0.125, images: 5 };
        MethodAudit {
            id: id.to_owned(),
            title: id.to_uppercase(),
            control,
            verdict,
            score: estimate(0.5),
            metrics: deletion.map(|mean| ("deletion".to_owned(), estimate(mean))).into_iter().collect(),
            randomisation: None,
        }
    }

    fn audit() -> Audit {
        let mut audit = Audit {
            methods: vec![
                method("a", false, MethodVerdict::Faithful, Some(0.25)),
                method("b", false, MethodVerdict::IgnoresModel, None),
                method("c", true, MethodVerdict::IgnoresModel, Some(0.75)),
            ],
            recommended: Some("a".to_owned()),
            uninformative: vec!["deletion".to_owned()],
            images: 5,
            notes: vec!["mind the gap".to_owned()],
            ..Audit::default()
        };
        audit.model.problems = (0..47).map(|n| format!("layer {n}: 7 channels are silent")).collect();
        audit
    }

    #[test]
    fn columns_are_what_was_measured_and_controls_are_no_explanations() {
        let audit = audit();
        let columns = audit.columns();
        assert_eq!(columns.len(), 2, "the score, and the one metric that was measured");
        assert_eq!((columns[1].better, columns[1].uninformative), (Better::Lower, true));
        let cells: Vec<Option<f64>> = columns[1].cells.iter().map(|cell| cell.map(|c| c.mean)).collect();
        assert_eq!(cells, [Some(0.25), None, Some(0.75)]);
        assert_eq!(columns[1].range(), (0.0, 0.875));
        let verdicts: Vec<_> = audit.methods.iter().map(|m| (verdict(m).0, verdict(m).2)).collect();
        let expected =
            [("faithful", Tone::Good), ("ignores the model", Tone::Bad), ("control", Tone::Unsure)];
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn each_method_has_a_row_with_its_interval() {
        let html = section(&audit()).into_string();
        for text in [
            "Measured on 5 images",
            "Mind the gap.",
            "Recommended: A:",
            "layer 0: 7 channels are silent",
            "layer 46: 7 channels are silent",
            "(47)",
            "and 37 more",
            " ↓",
            "uninformative here",
            "0.750 (0.625 to 0.875)",
        ] {
            assert!(html.contains(text), "{text}");
        }
        assert_eq!(html.matches("class=\"interval\"").count(), 5);
        assert_eq!(html.matches("class=\"control\"").count(), 1);
        assert_eq!(html.matches("<dt>faithful</dt>").count(), 1, "each verdict is explained once");
    }
}
