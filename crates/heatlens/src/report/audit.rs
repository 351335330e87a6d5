//! An audit on the page.

use crate::metric::{self, Better};
use crate::report::parts::{AuditPart, Interval, MethodRow, MetricColumn, Tone};
use crate::trust::audit::{Audit, Estimate, MethodAudit, MethodVerdict};

/// Metrics that have a column where they were measured; `audit.json` has them all.
const COLUMNS: [&str; 7] = [
    "insertion",
    "deletion",
    "road_combined",
    "average_drop",
    "max_sensitivity",
    "energy_pointing",
    "pointing_game",
];

/// What a control is for.
const CONTROL: &str = "looks at no model: an explanation must beat it";

impl From<&Audit> for AuditPart {
    fn from(audit: &Audit) -> Self {
        let measured = |id: &&str| audit.methods.iter().any(|m| m.metrics.contains_key(*id));
        let metrics: Vec<_> =
            COLUMNS.iter().filter(|id| measured(id)).filter_map(|id| metric::find(id)).collect();
        let decided = audit.methods.iter().any(|m| m.randomisation.is_some());
        let column = |m: &&metric::Metric| MetricColumn {
            name: m.title.to_owned(),
            meaning: m.summary.to_owned(),
            higher_is_better: match m.better {
                Better::Higher => Some(true),
                Better::Lower => Some(false),
                Better::Neither => None,
            },
            percent: false,
            says_nothing: audit.uninformative.iter().any(|id| id == m.id),
        };
        let row = |method: &MethodAudit| {
            let kept = method.randomisation.as_ref().map(|r| {
                let share = r.share_kept();
                Interval { mean: share, low: share, high: share }
            });
            let score = (method.score.images > 0).then(|| interval(method.score));
            let cells = metrics.iter().map(|m| method.metrics.get(m.id).map(|e| interval(*e)));
            MethodRow {
                title: method.title.clone(),
                verdict: if method.control {
                    "control".to_owned()
                } else {
                    method.verdict.words().to_owned()
                },
                tone: if method.control { Tone::Unsure } else { tone(method.verdict) },
                sentence: if method.control { CONTROL } else { method.verdict.sentence() }.to_owned(),
                control: method.control,
                cells: std::iter::once(score).chain(decided.then_some(kept)).chain(cells).collect(),
            }
        };
        let first = std::iter::once(score_column()).chain(decided.then(kept_column));
        Self {
            sentences: sentences(audit),
            problems: audit.model.problems.clone(),
            recommended: audit.best().map(|m| (m.title.clone(), m.verdict.sentence().to_owned())),
            columns: first.chain(metrics.iter().map(column)).collect(),
            rows: audit.methods.iter().map(row).collect(),
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

/// A note as a sentence of its own.
fn capitalised(note: &str) -> String {
    let mut letters = note.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if note.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

fn score_column() -> MetricColumn {
    MetricColumn {
        name: "Better than others".to_owned(),
        meaning:
            "share of the other methods that a method beats by the metrics of faithfulness, image by image"
                .to_owned(),
        higher_is_better: Some(true),
        percent: true,
        says_nothing: false,
    }
}

/// The column that decides whether a method ignores the model.
fn kept_column() -> MetricColumn {
    MetricColumn {
        name: "Kept".to_owned(),
        meaning: "similarity of the map after the weights are randomised (0 %: as alike as maps of different images, 100 %: unchanged); significantly above 33 % means that the method ignores the model"
            .to_owned(),
        higher_is_better: Some(false),
        percent: true,
        says_nothing: false,
    }
}

fn interval(estimate: Estimate) -> Interval {
    Interval { mean: estimate.mean, low: estimate.low, high: estimate.high }
}

fn tone(verdict: MethodVerdict) -> Tone {
    match verdict {
        MethodVerdict::Faithful => Tone::Good,
        MethodVerdict::Weak => Tone::Unsure,
        MethodVerdict::IgnoresModel => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(id: &str, control: bool, verdict: MethodVerdict, deletion: Option<f64>) -> MethodAudit {
        let estimate = |mean| Estimate { mean, low: mean - 0.1, high: mean + 0.1, images: 5 };
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

    #[test]
    fn columns_are_what_was_measured_and_controls_are_no_explanations() {
        let methods = vec![
            method("a", false, MethodVerdict::Faithful, Some(0.25)),
            method("b", false, MethodVerdict::IgnoresModel, None),
            method("c", true, MethodVerdict::IgnoresModel, Some(0.75)),
        ];
        let audit = Audit {
            methods,
            recommended: Some("a".to_owned()),
            uninformative: vec!["deletion".to_owned()],
            images: 5,
            ..Audit::default()
        };
        let part = AuditPart::from(&audit);
        assert_eq!(part.columns.len(), 2, "the score, and the one metric that was measured");
        assert_eq!((part.columns[1].higher_is_better, part.columns[1].says_nothing), (Some(false), true));
        assert_eq!(part.recommended.as_ref().map(|(title, _)| title.as_str()), Some("A"));
        let cells: Vec<Option<f64>> = part.rows.iter().map(|row| row.cells[1].map(|c| c.mean)).collect();
        assert_eq!(cells, [Some(0.25), None, Some(0.75)]);
        let verdicts: Vec<(&str, Tone)> = part.rows.iter().map(|r| (r.verdict.as_str(), r.tone)).collect();
        let expected =
            [("faithful", Tone::Good), ("ignores the model", Tone::Bad), ("control", Tone::Unsure)];
        assert_eq!(verdicts, expected);
    }
}
