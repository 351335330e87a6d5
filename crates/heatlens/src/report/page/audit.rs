//! The audit section: which methods to trust.

use maud::{Markup, html};

use super::plot::IntervalBar;
use super::{scroll, tone};
use crate::metric::{self, Better};
use crate::report::parts::Tone;
use crate::stats::MeanEstimate;
use crate::trust::audit::{Audit, MethodAudit, MethodVerdict};

/// Number of problems shown at once; the rest is folded.
const SHOWN: usize = 10;

/// Metrics shown as columns if they were measured; `audit.json` has all of them.
const COLUMNS: [&str; 7] = [
    "insertion",
    "deletion",
    "road_combined",
    "average_drop",
    "max_sensitivity",
    "energy_pointing",
    "pointing_game",
];

/// Renders the table of methods.
pub(super) fn section(audit: &Audit) -> Markup {
    let (columns, problems) = (columns(audit), &audit.model.problems);
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
                            th.silent[column.says_nothing] scope="col" title=(column.meaning) { (column.title()) }
                        }
                    } }
                    tbody { @for (at, method) in audit.methods.iter().enumerate() { (row(&columns, at, method)) } }
                }
            }))
            dl.meanings {
                @for (verdict, sentence) in verdicts(audit) { div { dt { (verdict) } dd { (sentence) } } }
                @for column in &columns { div { dt { (column.name) } dd { (column.meaning) @if column.says_nothing { ". " b { "Uninformative \
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

/// One measure for all methods.
struct Column {
    name: &'static str,
    /// Meaning in one sentence.
    meaning: &'static str,
    better: Better,
    /// True if the values are shares, shown in per cent.
    percent: bool,
    /// True if the measure does not separate the methods on this model.
    says_nothing: bool,
    /// One value per method.
    cells: Vec<Option<MeanEstimate>>,
}

/// Returns the score, the similarity after weight randomization, and the measured metrics.
fn columns(audit: &Audit) -> Vec<Column> {
    let of = |cell: &dyn Fn(&MethodAudit) -> Option<MeanEstimate>| audit.methods.iter().map(cell).collect();
    let kept = |method: &MethodAudit| {
        let mean = method.randomisation.as_ref()?.share_kept();
        Some(MeanEstimate { mean, low: mean, high: mean, images: 1 })
    };
    let score = Column {
        name: "Better than others",
        meaning: "share of the other methods that a method beats on the faithfulness metrics, image by image",
        better: Better::Higher,
        percent: true,
        says_nothing: false,
        cells: of(&|method| Some(method.score).filter(|score| score.images > 0)),
    };
    let kept = Column {
        name: "Kept",
        meaning: "similarity of the map after the weights are randomised (0 %: as alike as maps of different \
            images, 100 %: unchanged); if it is significantly above 33 %, the method ignores the model",
        better: Better::Lower,
        cells: of(&kept),
        ..score
    };
    let metrics = COLUMNS.iter().filter_map(|id| metric::find(id)).map(|metric| Column {
        name: metric.title,
        meaning: metric.summary,
        better: metric.better,
        percent: false,
        says_nothing: audit.uninformative.iter().any(|id| id == metric.id),
        cells: of(&|method| method.metrics.get(metric.id).copied()),
    });
    let measured = |column: &Column| column.cells.iter().any(Option::is_some);
    let further: Vec<Column> = std::iter::once(kept).chain(metrics).filter(measured).collect();
    std::iter::once(score).chain(further).collect()
}

impl Column {
    /// Renders the name, with its arrow kept on the same line as the last word.
    fn title(&self) -> Markup {
        let (words, last) = self.name.rsplit_once(' ').unwrap_or(("", self.name));
        let direction = match self.better {
            Better::Higher => " ↑",
            Better::Lower => " ↓",
            Better::Neither => "",
        };
        html! {
            @if !words.is_empty() { (words) " " }
            span.together { (last) (direction) }
            @if self.says_nothing { span.layer { "uninformative here" } }
        }
    }

    /// Returns the range that the bars cover.
    fn range(&self) -> (f64, f64) {
        let cells = self.cells.iter().flatten();
        cells.fold((0.0, 0.0), |(low, high), cell| (cell.low.min(low), cell.high.max(high)))
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
                td.silent[column.says_nothing] { @match column.cells.get(at).copied().flatten() {
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
        let columns = columns(&audit);
        assert_eq!(columns.len(), 2, "the score, and the one metric that was measured");
        assert_eq!((columns[1].better, columns[1].says_nothing), (Better::Lower, true));
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
