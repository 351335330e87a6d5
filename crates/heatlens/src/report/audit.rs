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
        let first = MetricColumn {
            name: "Better than others".to_owned(),
            meaning: "how often a method beats another by the metrics of faithfulness, image by image"
                .to_owned(),
            higher_is_better: Some(true),
        };
        let columns = metrics.iter().map(|m| MetricColumn {
            name: m.title.to_owned(),
            meaning: m.summary.to_owned(),
            higher_is_better: match m.better {
                Better::Higher => Some(true),
                Better::Lower => Some(false),
                Better::Neither => None,
            },
        });
        let row = |method: &MethodAudit| {
            let cells = metrics.iter().map(|m| method.metrics.get(m.id).map(|e| interval(*e)));
            MethodRow {
                title: method.title.clone(),
                verdict: if method.control { "control".to_owned() } else { words(method.verdict).to_owned() },
                tone: if method.control { Tone::Unsure } else { tone(method.verdict) },
                sentence: if method.control { CONTROL } else { method.verdict.sentence() }.to_owned(),
                control: method.control,
                cells: std::iter::once(Some(interval(method.score))).chain(cells).collect(),
            }
        };
        Self {
            sentences: sentences(audit),
            problems: audit.model.problems.clone(),
            recommended: audit.best().map(|m| (m.title.clone(), m.verdict.sentence().to_owned())),
            columns: std::iter::once(first).chain(columns).collect(),
            rows: audit.methods.iter().map(row).collect(),
        }
    }
}

fn sentences(audit: &Audit) -> Vec<String> {
    let mut sentences = vec![format!("Measured on {} images, with 95 % intervals.", audit.images)];
    if audit.recommended.is_none() {
        sentences.push("No method is recommended: see the verdict on the model above.".to_owned());
    }
    sentences
}

fn interval(estimate: Estimate) -> Interval {
    Interval { mean: estimate.mean, low: estimate.low, high: estimate.high }
}

fn words(verdict: MethodVerdict) -> &'static str {
    match verdict {
        MethodVerdict::Faithful => "faithful",
        MethodVerdict::Weak => "weak evidence",
        MethodVerdict::IgnoresModel => "ignores the model",
    }
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
        let audit = Audit { methods, recommended: Some("a".to_owned()), images: 5, ..Audit::default() };
        let part = AuditPart::from(&audit);
        assert_eq!(part.columns.len(), 2, "the score, and the one metric that was measured");
        assert_eq!(part.columns[1].higher_is_better, Some(false));
        assert_eq!(part.recommended.as_ref().map(|(title, _)| title.as_str()), Some("A"));
        let cells: Vec<Option<f64>> = part.rows.iter().map(|row| row.cells[1].map(|c| c.mean)).collect();
        assert_eq!(cells, [Some(0.25), None, Some(0.75)]);
        let verdicts: Vec<(&str, Tone)> = part.rows.iter().map(|r| (r.verdict.as_str(), r.tone)).collect();
        let expected =
            [("faithful", Tone::Good), ("ignores the model", Tone::Bad), ("control", Tone::Unsure)];
        assert_eq!(verdicts, expected);
    }
}
